/*
 * The route table and its matcher.  A new endpoint is a row here, a SQL function
 * in sql/, for a write a row in fn_jobs.c, and a test.
 */
#include <string.h>

#include "fn_routes.h"

#define PASSWORD_MIN   8
#define PASSWORD_MAX   128

#define END   { NULL, 0, 0, 0, 0, NULL, NULL, NULL }

#define PATH_ID \
    { "id", FN_T_UUID, FN_F_PATH|FN_F_REQUIRED, 0, 0, NULL, NULL, "Id of the resource." }
#define LIMIT \
    { "limit", FN_T_INT, 0, 1, 100, NULL, "20", "Items a page." }
#define PAGE \
    { "page", FN_T_INT, 0, 1, 100000, NULL, "1", "Page, from 1." }
#define CURSOR \
    { "cursor", FN_T_CURSOR, 0, 0, 0, NULL, NULL, "`next_cursor` of the page before." }
#define TONES  "friendly|tough_love|calm"


static const fn_field_t  signup_body[] = {
    { "email", FN_T_EMAIL, FN_F_REQUIRED, 0, 254, NULL, NULL, "Address to sign in with." },
    { "password", FN_T_SECRET, FN_F_REQUIRED, PASSWORD_MIN, PASSWORD_MAX, NULL, NULL, "8 to 128 characters." },
    { "name", FN_T_STRING, FN_F_REQUIRED, 1, 100, NULL, NULL, "Name shown to others." },
    { "language", FN_T_LANGUAGE, 0, 0, 0, NULL, NULL, "Language of messages; en." },
    { "timezone", FN_T_TIMEZONE, 0, 0, 0, NULL, NULL, "IANA time zone; UTC." },
    END
};

static const fn_field_t  login_body[] = {
    { "email", FN_T_EMAIL, FN_F_REQUIRED, 0, 254, NULL, NULL, "Address given at sign-up." },
    { "password", FN_T_SECRET, FN_F_REQUIRED, 1, PASSWORD_MAX, NULL, NULL, "Password." },
    END
};

static const fn_field_t  refresh_body[] = {
    { "refresh_token", FN_T_SECRET, 0, 1, 256, NULL, NULL, "Required unless its cookie is sent." },
    END
};

static const fn_field_t  logout_body[] = {
    { "everywhere", FN_T_BOOL, 0, 0, 0, NULL, NULL, "End all sessions of the user." },
    END
};

static const fn_field_t  profile_body[] = {
    { "name", FN_T_STRING, 0, 1, 100, NULL, NULL, "Name shown to others." },
    { "username", FN_T_STRING, FN_F_NULLABLE, 3, 30, NULL, NULL, "Unique handle: letters, digits, _ and dot." },
    { "bio", FN_T_STRING, FN_F_NULLABLE, 0, 500, NULL, NULL, "A few words." },
    { "avatar_url", FN_T_URL, FN_F_NULLABLE, 0, 2048, NULL, NULL, "Picture." },
    { "language", FN_T_LANGUAGE, 0, 0, 0, NULL, NULL, "Language of messages." },
    { "timezone", FN_T_TIMEZONE, 0, 0, 0, NULL, NULL, "IANA time zone." },
    { "country", FN_T_STRING, FN_F_NULLABLE, 2, 2, NULL, NULL, "ISO 3166-1 alpha-2." },
    { "birth_date", FN_T_DATE, FN_F_NULLABLE, 0, 0, NULL, NULL, "Date of birth." },
    { "tone", FN_T_ENUM, 0, 0, 0, TONES, NULL, "Usual tone of messages." },
    END
};

static const fn_field_t  goal_body[] = {
    { "title", FN_T_STRING, FN_F_REQUIRED, 1, 100, NULL, NULL, "What the user wants to do." },
    { "description", FN_T_STRING, FN_F_NULLABLE, 0, 1000, NULL, NULL, "More about it." },
    { "category", FN_T_STRING, FN_F_NULLABLE, 1, 50, NULL, NULL, "Free text, such as `gym`." },
    { "frequency", FN_T_INT, FN_F_REQUIRED, 1, 7, NULL, NULL, "Days a week." },
    END
};

static const fn_field_t  goal_patch[] = {
    { "title", FN_T_STRING, 0, 1, 100, NULL, NULL, "What the user wants to do." },
    { "description", FN_T_STRING, FN_F_NULLABLE, 0, 1000, NULL, NULL, "More about it." },
    { "category", FN_T_STRING, FN_F_NULLABLE, 1, 50, NULL, NULL, "Free text." },
    { "frequency", FN_T_INT, 0, 1, 7, NULL, NULL, "Days a week." },
    { "is_active", FN_T_BOOL, 0, 0, 0, NULL, NULL, "Whether the user pursues it now." },
    END
};

static const fn_field_t  checkin_body[] = {
    { "date", FN_T_DATE, 0, 0, 0, NULL, NULL, "The user's today by default; not in the future." },
    { "status", FN_T_ENUM, FN_F_REQUIRED, 0, 0, "done|skipped|missed", NULL, "How it went." },
    { "reflection", FN_T_STRING, FN_F_NULLABLE, 0, 1000, NULL, NULL, "A few words." },
    { "mood", FN_T_INT, FN_F_NULLABLE, 1, 5, NULL, NULL, "1 to 5." },
    END
};

static const fn_field_t  checkin_patch[] = {
    { "status", FN_T_ENUM, 0, 0, 0, "done|skipped|missed", NULL, "How it went." },
    { "reflection", FN_T_STRING, FN_F_NULLABLE, 0, 1000, NULL, NULL, "A few words." },
    { "mood", FN_T_INT, FN_F_NULLABLE, 1, 5, NULL, NULL, "1 to 5." },
    END
};

static const fn_field_t  generate_body[] = {
    { "goal_id", FN_T_UUID, FN_F_REQUIRED, 0, 0, NULL, NULL, "Goal to be moved towards." },
    { "tone", FN_T_ENUM, 0, 0, 0, TONES, NULL, "The profile's tone by default." },
    END
};

static const fn_field_t  device_body[] = {
    { "platform", FN_T_ENUM, FN_F_REQUIRED, 0, 0, "ios|android|web", NULL, "What it runs on." },
    { "token", FN_T_SECRET, FN_F_REQUIRED, 1, 2048, NULL, NULL, "Registration token that Firebase gave the app." },
    END
};

static const fn_field_t  device_delete_body[] = {
    { "token", FN_T_SECRET, FN_F_REQUIRED, 1, 2048, NULL, NULL, "Registration token of the device." },
    END
};

static const fn_field_t  voice_body[] = {
    { "motivation_id", FN_T_UUID, 0, 0, 0, NULL, NULL, "Message to be spoken; or `text`." },
    { "text", FN_T_STRING, 0, 1, 500, NULL, NULL, "Text to be spoken; or `motivation_id`." },
    { "voice", FN_T_ENUM, 0, 0, 0, TONES, NULL, "Manner of the voice; by default that of the message or of the profile." },
    END
};

static const fn_field_t  schedule_body[] = {
    { "goal_id", FN_T_UUID, FN_F_REQUIRED, 0, 0, NULL, NULL, "Goal to be reminded of." },
    { "time", FN_T_TIME, FN_F_REQUIRED, 0, 0, NULL, NULL, "Local time, HH:MM." },
    { "days", FN_T_DAYS, 0, 0, 0, NULL, NULL, "Days of the week, 0 is Sunday; all of them by default." },
    { "timezone", FN_T_TIMEZONE, 0, 0, 0, NULL, NULL, "IANA time zone; the profile's by default, also when that changes." },
    END
};

static const fn_field_t  reminder_patch[] = {
    { "time", FN_T_TIME, 0, 0, 0, NULL, NULL, "Local time, HH:MM." },
    { "days", FN_T_DAYS, 0, 0, 0, NULL, NULL, "Days of the week, 0 is Sunday." },
    { "timezone", FN_T_TIMEZONE, FN_F_NULLABLE, 0, 0, NULL, NULL, "IANA time zone; null follows the profile." },
    { "is_active", FN_T_BOOL, 0, 0, 0, NULL, NULL, "Whether it is sent." },
    END
};

#define IMAGES  "image/jpeg|image/png|image/webp|image/avif|image/heic|image/gif"
#define SOUNDS  "audio/mpeg|audio/mp4|audio/aac|audio/ogg|audio/webm|audio/wav"

static const fn_field_t  upload_body[] = {
    { "kind", FN_T_ENUM, FN_F_REQUIRED, 0, 0, "image|voice", NULL, "What it is." },
    { "content_type", FN_T_ENUM, FN_F_REQUIRED, 0, 0, IMAGES "|" SOUNDS, NULL, "Its type, which has to go with the kind." },
    { "bytes", FN_T_INT, FN_F_REQUIRED, 1, 10 * 1024 * 1024, NULL, NULL, "Its length." },
    END
};

static const fn_field_t  media_params[] = {
    { "kind", FN_T_ENUM, 0, 0, 0, "image|voice", NULL, "Only of this kind." },
    CURSOR, LIMIT, END
};

#define MAIL_SIGNATURE \
    { "s", FN_T_STRING, FN_F_REQUIRED, 22, 22, NULL, NULL, "Signature of the link." }

static const fn_field_t  mail_open_params[] = { PATH_ID, MAIL_SIGNATURE, END };

static const fn_field_t  mail_click_params[] = {
    PATH_ID, MAIL_SIGNATURE,
    { "u", FN_T_URL, FN_F_REQUIRED, 0, 1024, NULL, NULL, "Where the link leads." },
    END
};

static const fn_field_t  mail_token_param[] = {
    { "token", FN_T_STRING, FN_F_PATH|FN_F_REQUIRED, 1, 128, NULL, NULL, "User, list and signature." },
    END
};

static const fn_field_t  events_body[] = {
    { "events", FN_T_EVENTS, FN_F_REQUIRED, 0, 0, NULL, NULL, "What happened in the app, in order." },
    END
};

static const fn_field_t  reminders_params[] = { PAGE, LIMIT, END };

static const fn_field_t  week_params[] = {
    { "week", FN_T_WEEK, 0, 0, 0, NULL, NULL, "ISO week, YYYY-Www; the running one by default." },
    END
};

/* flags, experiments, languages */
static const fn_field_t  flags_params[] = {
    { "platform", FN_T_ENUM, 0, 0, 0, "ios|android|web", NULL, "What the app runs on, for rules about it." },
    { "app_version", FN_T_STRING, 0, 1, 64, NULL, NULL, "Version of the app, such as 2.4.1, for rules about it." },
    END
};

static const fn_field_t  i18n_params[] = {
    { "lang", FN_T_STRING, FN_F_PATH|FN_F_REQUIRED, 2, 35, NULL, NULL, "Language tag: de, or de-AT, which is de." },
    END
};

static const fn_field_t  experiment_params[] = {
    { "key", FN_T_STRING, FN_F_PATH|FN_F_REQUIRED, 1, 64, NULL, NULL, "Key of the experiment." },
    END
};

static const fn_field_t  experiment_event_body[] = {
    { "event", FN_T_STRING, FN_F_REQUIRED, 1, 64, NULL, NULL, "What happened, such as `conversion`: lower-case letters, digits, and _ . : or -." },
    END
};

static const fn_field_t  id_param[] = { PATH_ID, END };

static const fn_field_t  goals_params[] = {
    { "is_active", FN_T_BOOL, 0, 0, 0, NULL, NULL, "Only active, or only past ones." },
    PAGE, LIMIT, END
};

#define CHECKIN_FILTER \
    { "from", FN_T_DATE, 0, 0, 0, NULL, NULL, "First date." }, \
    { "to", FN_T_DATE, 0, 0, 0, NULL, NULL, "Last date." }, \
    CURSOR, LIMIT

static const fn_field_t  goal_checkins_params[] = { PATH_ID, CHECKIN_FILTER, END };
static const fn_field_t  checkins_params[] = { CHECKIN_FILTER, END };

static const fn_field_t  motivations_params[] = {
    { "goal_id", FN_T_UUID, 0, 0, 0, NULL, NULL, "Only of this goal." },
    CURSOR, LIMIT, END
};

/* accounts */
static const fn_field_t  verify_body[] = {
    { "email", FN_T_EMAIL, FN_F_REQUIRED, 0, 254, NULL, NULL, "Address that the code was sent to." },
    { "verification_code", FN_T_SECRET, FN_F_REQUIRED, 6, 6, NULL, NULL, "Six digits; good for 15 minutes and five tries." },
    END
};

static const fn_field_t  forgot_body[] = {
    { "email", FN_T_EMAIL, FN_F_REQUIRED, 0, 254, NULL, NULL, "Address given at sign-up." },
    END
};

static const fn_field_t  reset_body[] = {
    { "token", FN_T_SECRET, FN_F_REQUIRED, 1, 128, NULL, NULL, "From the link of the mail; good once, for an hour." },
    { "password", FN_T_SECRET, FN_F_REQUIRED, PASSWORD_MIN, PASSWORD_MAX, NULL, NULL, "The new one, 8 to 128 characters." },
    END
};

static const fn_field_t  password_body[] = {
    { "current_password", FN_T_SECRET, FN_F_REQUIRED, 1, PASSWORD_MAX, NULL, NULL, "The one to be changed." },
    { "new_password", FN_T_SECRET, FN_F_REQUIRED, PASSWORD_MIN, PASSWORD_MAX, NULL, NULL, "8 to 128 characters." },
    END
};

static const fn_field_t  leave_body[] = {
    { "password", FN_T_SECRET, FN_F_REQUIRED, 1, PASSWORD_MAX, NULL, NULL, "Password." },
    END
};

static const fn_field_t  consent_body[] = {
    { "consent_type", FN_T_ENUM, FN_F_REQUIRED, 0, 0, "data_processing|analytics|marketing", NULL, "What is agreed to." },
    { "granted", FN_T_BOOL, FN_F_REQUIRED, 0, 0, NULL, NULL, "Whether it is, from now on." },
    END
};

/* social and search */
static const fn_field_t  feed_params[] = {
    { "scope", FN_T_ENUM, 0, 0, 0, "all|following", "all", "Of everybody, or of those whom the user follows." },
    CURSOR, LIMIT, END
};

#define POST_FIELDS                                                                                                                   \
    { "voice_url", FN_T_URL, FN_F_NULLABLE, 0, 2048, NULL, NULL, "Recording." },                                                      \
    { "media_ids", FN_T_UUIDS, 0, 0, 10, NULL, NULL, "Finished uploads of the user." },                                               \
    { "is_public", FN_T_BOOL, 0, 0, 0, NULL, NULL, "Whether anybody else sees it; true by default." }

static const fn_field_t  post_body[] = {
    { "text", FN_T_STRING, FN_F_REQUIRED, 1, 2000, NULL, NULL, "What is said." }, POST_FIELDS, END
};

static const fn_field_t  post_patch[] = {
    { "text", FN_T_STRING, 0, 1, 2000, NULL, NULL, "What is said." }, POST_FIELDS, END
};

static const fn_field_t  comments_params[] = { PATH_ID, CURSOR, LIMIT, END };

static const fn_field_t  comment_body[] = {
    { "text", FN_T_STRING, FN_F_REQUIRED, 1, 500, NULL, NULL, "What is said." },
    END
};

static const fn_field_t  flag_body[] = {
    { "reason", FN_T_ENUM, FN_F_REQUIRED, 0, 0, "spam|abuse|other", NULL, "What is wrong with it." },
    { "note", FN_T_STRING, FN_F_NULLABLE, 0, 500, NULL, NULL, "A few words." },
    END
};

#define QUERY  { "q", FN_T_STRING, FN_F_REQUIRED, 2, 100, NULL, NULL, "Words; a phrase in quotes, `or` between words, `-` before one that must not be there." }
#define SINCE  { "from", FN_T_DATE, 0, 0, 0, NULL, NULL, "First date." }, { "to", FN_T_DATE, 0, 0, 0, NULL, NULL, "Last date." }

static const fn_field_t  search_posts_params[] = {
    QUERY, SINCE, { "user_id", FN_T_UUID, 0, 0, 0, NULL, NULL, "Only of this person." }, PAGE, LIMIT, END
};

static const fn_field_t  search_params[] = { QUERY, SINCE, PAGE, LIMIT, END };

static const fn_field_t  suggestions_params[] = {
    { "q", FN_T_STRING, FN_F_REQUIRED, 2, 100, NULL, NULL, "Beginning of what is searched for." },
    { "limit", FN_T_INT, 0, 1, 10, NULL, "5", "Suggestions at most." },
    END
};

static const fn_field_t  click_body[] = {
    { "query", FN_T_STRING, FN_F_REQUIRED, 2, 100, NULL, NULL, "What was searched for." },
    { "result_id", FN_T_UUID, FN_F_REQUIRED, 0, 0, NULL, NULL, "Result that was chosen." },
    { "position", FN_T_INT, FN_F_REQUIRED, 1, 100000, NULL, NULL, "Its place among the results, from 1." },
    END
};

#define V1  "/api/v1"

#define NEVER            { FN_CACHE_NONE, 0, NULL }
#define MINE(ttl, tags)  { FN_CACHE_USER, ttl, tags }

const fn_route_t  fn_routes[] = {
    /* auth */
    { FN_POST, V1 "/auth/signup", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.signup", NULL, signup_body, 201, FN_R_COOKIES, NEVER,
      "auth", "AuthResult", "Create an account" },
    { FN_POST, V1 "/auth/login", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.login", NULL, login_body, 200, FN_R_COOKIES, NEVER,
      "auth", "AuthResult", "Sign in" },
    { FN_POST, V1 "/auth/refresh", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.refresh", NULL, refresh_body, 200, FN_R_TOKEN|FN_R_COOKIES,
      NEVER,
      "auth", "AuthResult", "Exchange a refresh token for new tokens" },
    { FN_POST, V1 "/auth/logout", FN_WRITE, FN_USER, FN_LIMIT_USER, "auth.logout", NULL, logout_body, 204, 0, NEVER,
      "auth", NULL, "End this session, or all of them" },
    { FN_GET, V1 "/auth/csrf", FN_LOCAL, FN_ANYONE, FN_LIMIT_ANONYMOUS, "csrf", NULL, NULL, 200, 0, NEVER,
      "auth", "CsrfToken", "A CSRF token, also set as a cookie" },
    { FN_GET, V1 "/auth/sessions", FN_READ, FN_USER, FN_LIMIT_USER, "sessions_list", NULL, NULL, 200, 0, NEVER,
      "auth", "SessionList", "Devices signed in" },
    { FN_DELETE, V1 "/auth/sessions/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "sessions.delete", id_param, NULL, 204, 0, NEVER,
      "auth", NULL, "Sign a device out" },

    /* users */
    { FN_GET, V1 "/users/me", FN_READ, FN_USER, FN_LIMIT_USER, "users_me", NULL, NULL, 200, 0,
      MINE(3600, "users:@ goals:@ checkins:@ motivations:@"),
      "users", "Profile", "The user's own profile" },
    { FN_PATCH, V1 "/users/me", FN_WRITE, FN_USER, FN_LIMIT_USER, "users.update", NULL, profile_body, 200, FN_R_IF_MATCH, NEVER,
      "users", "Profile", "Change the profile" },

    { FN_POST, V1 "/users/me/devices", FN_WRITE, FN_USER, FN_LIMIT_USER, "devices.add", NULL, device_body, 204, 0, NEVER,
      "users", NULL, "Register a device for notifications" },
    { FN_DELETE, V1 "/users/me/devices", FN_WRITE, FN_USER, FN_LIMIT_USER, "devices.delete", NULL, device_delete_body, 204, 0, NEVER,
      "users", NULL, "Take a device off" },

    /* accounts */
    { FN_POST, V1 "/auth/verify-email", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.verify_email", NULL, verify_body, 200, 0, NEVER,
      "auth", "Message", "Verify the address with the code that was sent to it" },
    { FN_POST, V1 "/auth/verify-email/resend", FN_WRITE, FN_USER, FN_LIMIT_USER, "auth.verify_resend", NULL, NULL, 202, 0, NEVER,
      "auth", "Message", "Another code; one a minute, five a day" },
    { FN_POST, V1 "/auth/password/forgot", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.password_forgot", NULL, forgot_body, 202, 0, NEVER,
      "auth", "Message", "Have a link to a new password sent; the answer does not tell whether there is an account" },
    { FN_POST, V1 "/auth/password/reset", FN_WRITE, FN_ANYONE, FN_LIMIT_AUTH, "auth.password_reset", NULL, reset_body, 200, 0, NEVER,
      "auth", "Message", "Set a new password with the link's token; all sessions end" },
    { FN_POST, V1 "/auth/password/change", FN_WRITE, FN_USER, FN_LIMIT_USER, "auth.password_change", NULL, password_body, 204, 0, NEVER,
      "auth", NULL, "Change the password; other sessions end" },
    { FN_GET, V1 "/users/me/data", FN_READ, FN_USER, FN_LIMIT_USER, "users_data", NULL, NULL, 200, FN_R_SLOW|FN_R_DOWNLOAD|FN_R_AUDITED, NEVER,
      "users", "PersonalData", "Everything held on the user, as a download" },
    { FN_DELETE, V1 "/users/me/delete", FN_WRITE, FN_USER, FN_LIMIT_USER, "users.delete", NULL, leave_body, 200, 0, NEVER,
      "users", "Message", "Close the account; everything is deleted after 30 days" },
    { FN_GET, V1 "/users/me/consents", FN_READ, FN_USER, FN_LIMIT_USER, "consents_list", NULL, NULL, 200, 0, MINE(300, "consents:@"),
      "users", "ConsentList", "What the user has agreed to, and when" },
    { FN_PUT, V1 "/users/me/consents", FN_WRITE, FN_USER, FN_LIMIT_USER, "consents.set", NULL, consent_body, 200, 0, NEVER,
      "users", "Consent", "Agree to something, or take it back" },
    { FN_GET, V1 "/users/{id}", FN_READ, FN_USER, FN_LIMIT_USER, "users_get", id_param, NULL, 200, FN_R_REPLICA, MINE(300, "users:{id} follows:@"),
      "users", "PublicProfile", "Somebody's public profile" },
    { FN_POST, V1 "/users/{id}/follow", FN_WRITE, FN_USER, FN_LIMIT_USER, "users.follow", id_param, NULL, 204, 0, NEVER,
      "users", NULL, "Follow somebody" },
    { FN_DELETE, V1 "/users/{id}/follow", FN_WRITE, FN_USER, FN_LIMIT_USER, "users.unfollow", id_param, NULL, 204, 0, NEVER,
      "users", NULL, "Follow somebody no more" },

    /* goals */
    { FN_GET, V1 "/goals", FN_READ, FN_USER, FN_LIMIT_USER, "goals_list", goals_params, NULL, 200, FN_R_REPLICA, MINE(300, "goals:@"),
      "goals", "GoalList", "The user's goals" },
    { FN_POST, V1 "/goals", FN_WRITE, FN_USER, FN_LIMIT_USER, "goals.create", NULL, goal_body, 201, 0, NEVER,
      "goals", "Goal", "Set a goal" },
    { FN_GET, V1 "/goals/{id}", FN_READ, FN_USER, FN_LIMIT_USER, "goals_get", id_param, NULL, 200, FN_R_REPLICA, MINE(300, "goals:@"),
      "goals", "Goal", "One goal" },
    { FN_PATCH, V1 "/goals/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "goals.update", id_param, goal_patch, 200, FN_R_IF_MATCH, NEVER,
      "goals", "Goal", "Change a goal" },
    { FN_DELETE, V1 "/goals/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "goals.delete", id_param, NULL, 204, FN_R_IF_MATCH, NEVER,
      "goals", NULL, "Delete a goal with its check-ins and messages" },
    { FN_GET, V1 "/goals/{id}/stats", FN_READ, FN_USER, FN_LIMIT_USER, "goals_stats", id_param, NULL, 200, FN_R_REPLICA,
      MINE(300, "goals:@ checkins:@ users:@"),
      "goals", "GoalStats", "Streaks, totals and weekly completion" },

    /* check-ins */
    { FN_GET, V1 "/goals/{id}/checkins", FN_READ, FN_USER, FN_LIMIT_USER, "goals_checkins", goal_checkins_params, NULL, 200, FN_R_REPLICA,
      MINE(300, "goals:@ checkins:@"),
      "check-ins", "CheckinList", "Check-ins of a goal, newest first" },
    { FN_POST, V1 "/goals/{id}/checkins", FN_WRITE, FN_USER, FN_LIMIT_USER, "checkins.create", id_param, checkin_body, 201, 0, NEVER,
      "check-ins", "Checkin", "Check in; one a date" },
    { FN_GET, V1 "/checkins", FN_READ, FN_USER, FN_LIMIT_USER, "checkins_list", checkins_params, NULL, 200, FN_R_REPLICA, MINE(300, "checkins:@"),
      "check-ins", "CheckinList", "Check-ins of all goals, newest first" },
    { FN_PATCH, V1 "/checkins/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "checkins.update", id_param, checkin_patch, 200, FN_R_IF_MATCH,
      NEVER,
      "check-ins", "Checkin", "Change a check-in" },
    { FN_DELETE, V1 "/checkins/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "checkins.delete", id_param, NULL, 204, FN_R_IF_MATCH, NEVER,
      "check-ins", NULL, "Delete a check-in" },

    /* motivation */
    { FN_POST, V1 "/motivation/generate", FN_WRITE, FN_USER, FN_LIMIT_AI, "motivation.generate", NULL, generate_body, 200, 0, NEVER,
      "motivation", "Motivation", "A message that keeps the user going" },
    { FN_GET, V1 "/motivations", FN_READ, FN_USER, FN_LIMIT_USER, "motivations_list", motivations_params, NULL, 200, FN_R_REPLICA|FN_R_URLS,
      MINE(300, "motivations:@"),
      "motivation", "MotivationList", "Messages, newest first" },
    { FN_GET, V1 "/motivations/{id}", FN_READ, FN_USER, FN_LIMIT_USER, "motivations_get", id_param, NULL, 200, FN_R_URLS,
      MINE(300, "motivations:@"),
      "motivation", "Motivation", "One message" },

    { FN_POST, V1 "/ai/voice", FN_WRITE, FN_PAID, FN_LIMIT_AI, "voice.create", NULL, voice_body, 200, 0, NEVER,
      "motivation", "Voice", "Speech of a message; plans Pro and Elite" },
    { FN_POST, V1 "/motivation/schedule", FN_WRITE, FN_USER, FN_LIMIT_USER, "motivation.schedule", NULL, schedule_body, 201, 0, NEVER,
      "motivation", "Reminder", "Be reminded of a goal, once on each of the days" },
    { FN_GET, V1 "/reminders", FN_READ, FN_USER, FN_LIMIT_USER, "reminders_list", reminders_params, NULL, 200, FN_R_REPLICA,
      MINE(300, "reminders:@"),
      "motivation", "ReminderList", "Reminders, oldest first" },
    { FN_PATCH, V1 "/reminders/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "reminders.update", id_param, reminder_patch, 200, FN_R_IF_MATCH,
      NEVER,
      "motivation", "Reminder", "Change a reminder; a date it was sent for is over" },
    { FN_DELETE, V1 "/reminders/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "reminders.delete", id_param, NULL, 204, FN_R_IF_MATCH, NEVER,
      "motivation", NULL, "Delete a reminder" },

    /* social */
    { FN_GET, V1 "/feed", FN_READ, FN_USER, FN_LIMIT_USER, "feed", feed_params, NULL, 200, FN_R_REPLICA|FN_R_URLS,
      MINE(600, "social:@ users:@ follows:@ ~feed"),
      "social", "PostList", "Posts, newest first" },
    { FN_POST, V1 "/posts", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.create", NULL, post_body, 201, 0, NEVER,
      "social", "Post", "Say something" },
    { FN_GET, V1 "/posts/{id}", FN_READ, FN_USER, FN_LIMIT_USER, "posts_get", id_param, NULL, 200, FN_R_REPLICA|FN_R_URLS,
      MINE(300, "social:@ users:@ media:@ ~post:{id}"),
      "social", "Post", "One post" },
    { FN_PATCH, V1 "/posts/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.update", id_param, post_patch, 200, FN_R_IF_MATCH, NEVER,
      "social", "Post", "Change a post" },
    { FN_DELETE, V1 "/posts/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.delete", id_param, NULL, 204, FN_R_IF_MATCH, NEVER,
      "social", NULL, "Delete a post with its likes and comments" },
    { FN_POST, V1 "/posts/{id}/like", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.like", id_param, NULL, 200, 0, NEVER,
      "social", "Likes", "Like a post; once or many times is the same" },
    { FN_DELETE, V1 "/posts/{id}/like", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.unlike", id_param, NULL, 200, 0, NEVER,
      "social", "Likes", "Like it no longer" },
    { FN_GET, V1 "/posts/{id}/comments", FN_READ, FN_USER, FN_LIMIT_USER, "posts_comments", comments_params, NULL, 200, FN_R_REPLICA,
      MINE(300, "social:@ users:@ ~post:{id}"),
      "social", "CommentList", "Comments on a post, newest first" },
    { FN_POST, V1 "/posts/{id}/comments", FN_WRITE, FN_USER, FN_LIMIT_USER, "comments.create", id_param, comment_body, 201, 0, NEVER,
      "social", "Comment", "Comment on a post" },
    { FN_DELETE, V1 "/comments/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "comments.delete", id_param, NULL, 204, 0, NEVER,
      "social", NULL, "Delete a comment: one's own, or one on one's own post" },
    { FN_POST, V1 "/posts/{id}/flag", FN_WRITE, FN_USER, FN_LIMIT_USER, "posts.flag", id_param, flag_body, 202, 0, NEVER,
      "social", "Received", "Tell moderators about a post; once a user" },

    /* search */
    { FN_GET, V1 "/search/posts", FN_READ, FN_USER, FN_LIMIT_USER, "search_posts", search_posts_params, NULL, 200,
      FN_R_SLOW|FN_R_RECORDED|FN_R_URLS, MINE(300, "social:@ users:@ media:@"),
      "search", "PostResults", "Posts with these words, the most relevant first" },
    { FN_GET, V1 "/search/goals", FN_READ, FN_USER, FN_LIMIT_USER, "search_goals", search_params, NULL, 200, FN_R_SLOW|FN_R_RECORDED,
      MINE(300, "goals:@ users:@"),
      "search", "GoalResults", "The user's own goals with these words" },
    { FN_GET, V1 "/search/users", FN_READ, FN_USER, FN_LIMIT_USER, "search_users", search_params, NULL, 200, FN_R_SLOW|FN_R_RECORDED,
      MINE(300, "users:@ follows:@"),
      "search", "UserResults", "People whose names begin with these words" },
    { FN_GET, V1 "/search/suggestions", FN_READ, FN_USER, FN_LIMIT_USER, "search_suggestions", suggestions_params, NULL, 200, FN_R_SLOW,
      MINE(300, "users:@"),
      "search", "Suggestions", "How what was begun could go on: popular terms, people, categories of goals" },
    { FN_POST, V1 "/search/click", FN_WRITE, FN_USER, FN_LIMIT_USER, "search.click", NULL, click_body, 202, 0, NEVER,
      "search", "Received", "A result was chosen" },

    /* analytics */
    { FN_GET, V1 "/stats/me", FN_READ, FN_USER, FN_LIMIT_USER, "stats_me", NULL, NULL, 200, FN_R_REPLICA,
      MINE(300, "users:@ goals:@ checkins:@ motivations:@"),
      "analytics", "Stats", "Streaks, totals and engagement over all goals" },
    { FN_GET, V1 "/stats/me/weekly", FN_READ, FN_USER, FN_LIMIT_USER, "stats_weekly", week_params, NULL, 200, FN_R_REPLICA,
      MINE(300, "users:@ goals:@ checkins:@"),
      "analytics", "WeekStats", "One week, from Monday in the user's time zone" },

    { FN_POST, V1 "/events", FN_WRITE, FN_USER, FN_LIMIT_USER, "events.track", NULL, events_body, 202, 0, NEVER,
      "analytics", "EventsAccepted", "Events of the app, for the analytics of those who have agreed to it" },

    /* media */
    { FN_GET, V1 "/media", FN_READ, FN_USER, FN_LIMIT_USER, "media_list", media_params, NULL, 200, FN_R_URLS, NEVER,
      "media", "MediaList", "The user's images and speech, newest first" },
    { FN_POST, V1 "/media/uploads", FN_WRITE, FN_USER, FN_LIMIT_UPLOAD, "media.upload", NULL, upload_body, 201, 0, NEVER,
      "media", "Upload", "An address to upload one file to; counts towards the plan's storage at once" },
    { FN_POST, V1 "/media/{id}/complete", FN_WRITE, FN_USER, FN_LIMIT_USER, "media.complete", id_param, NULL, 200, 0, NEVER,
      "media", "Media", "The file is uploaded: from now on it can be used" },
    { FN_DELETE, V1 "/media/{id}", FN_WRITE, FN_USER, FN_LIMIT_USER, "media.remove", id_param, NULL, 204, 0, NEVER,
      "media", NULL, "Delete a file" },

    /* e-mail */
    { FN_POST, V1 "/webhooks/email-events", FN_WRITE, FN_ANYONE, FN_LIMIT_NONE, "mail.events", NULL, NULL, 200, FN_R_SEALED, NEVER,
      "email", "EmailEvents", "What the sender of our mails reports of them, signed" },
    { FN_GET, V1 "/e/o/{id}.gif", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "mail_open", mail_open_params, NULL, 200, FN_R_PAGE, NEVER,
      "email", "image/gif", "A mail was opened" },
    { FN_GET, V1 "/e/c/{id}", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "mail_click", mail_click_params, NULL, 302, FN_R_PAGE, NEVER,
      "email", NULL, "A link of a mail was followed: on to where it leads" },
    { FN_GET, V1 "/e/u/{token}", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "mail_unsubscribe", mail_token_param, NULL, 200, FN_R_PAGE, NEVER,
      "email", "text/html", "A page that asks whether to unsubscribe" },
    { FN_POST, V1 "/e/u/{token}", FN_WRITE, FN_ANYONE, FN_LIMIT_NONE, "mail.unsubscribe", mail_token_param, NULL, 200, FN_R_SEALED|FN_R_PAGE,
      NEVER,
      "email", "text/html", "Unsubscribe, in one click (RFC 8058)" },

    /* flags, experiments, languages */
    { FN_GET, V1 "/flags", FN_READ, FN_USER, FN_LIMIT_USER, "flags", flags_params, NULL, 200, 0, MINE(60, "flags users:@ checkins:@"),
      "flags", "Flags", "The value of every feature flag for the user" },
    { FN_GET, V1 "/onboarding/flow", FN_READ, FN_USER, FN_LIMIT_USER, "onboarding_flow", NULL, NULL, 200, FN_R_TOLD, NEVER,
      "experiments", "OnboardingFlow", "How a new user is led in, by the variant of the experiment `onboarding-flow`" },
    { FN_POST, V1 "/experiments/{key}/events", FN_WRITE, FN_USER, FN_LIMIT_USER, "experiments.event", experiment_params, experiment_event_body,
      202, 0, NEVER,
      "experiments", NULL, "Something that matters for an experiment has happened" },

    { FN_GET, V1 "/i18n", FN_LOCAL, FN_ANYONE, FN_LIMIT_ANONYMOUS, "languages", NULL, NULL, 200, 0, NEVER,
      "i18n", "LanguageList", "Languages, and which of them `Accept-Language` likes best" },
    { FN_GET, V1 "/i18n/{lang}", FN_LOCAL, FN_ANYONE, FN_LIMIT_ANONYMOUS, "i18n", i18n_params, NULL, 200, 0, NEVER,
      "i18n", "Messages", "The texts of a language as ICU messages; what it lacks is English" },

    /* jobs */
    { FN_GET, V1 "/jobs/{id}", FN_LOCAL, FN_USER, FN_LIMIT_USER, "job", id_param, NULL, 200, FN_R_URLS, NEVER,
      "jobs", "Job", "State of a write that was answered with 202" },

    /* system */
    { FN_GET, "/health", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "health", NULL, NULL, 200, 0, NEVER,
      "system", "Health", "State of every part" },
    { FN_GET, V1 "/health", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "health", NULL, NULL, 200, 0, NEVER,
      "system", "Health", "State of every part" },
    { FN_GET, "/health/live", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "live", NULL, NULL, 200, 0, NEVER,
      "system", "Live", "The process answers" },
    { FN_GET, "/health/ready", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "ready", NULL, NULL, 200, 0, NEVER,
      "system", "Health", "Requests can be served; 503 when not" },
    { FN_GET, V1 "/openapi.json", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "openapi", NULL, NULL, 200, 0, NEVER,
      "system", "OpenApi", "This document" },
    { FN_GET, "/.well-known/jwks.json", FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, "jwks", NULL, NULL, 200, 0, NEVER,
      "system", "KeySet", "Public keys of access tokens" },

    { FN_GET, NULL, FN_LOCAL, FN_ANYONE, FN_LIMIT_NONE, NULL, NULL, NULL, 0, 0, NEVER, NULL, NULL, NULL }
};

const unsigned  fn_routes_n = sizeof(fn_routes) / sizeof(fn_routes[0]) - 1;

const char *const  fn_method_names[FN_METHODS] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
