/* Mail by SMTP: the message is made here, libcurl carries it (CURLOPT_MAIL_FROM, _RCPT, READFUNCTION, USE_SSL). */
#ifndef FN_SMTP_H
#define FN_SMTP_H

#include "../provider.h"

/*
 * Context {"template","language","to","name","user_id","vars":{...}}; the values of vars are strings and numbers.
 * Result {"message_id","refused","status"}, also when the server refused: then nobody has this address.
 */
extern const fn_provider_t fn_provider_smtp;

#endif
