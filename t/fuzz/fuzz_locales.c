/* Language tags, Accept-Language, and files of texts. The first byte says what the rest is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fn_locales.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_file(int language, const char *text, size_t size)
{
    char           problem[160];
    int            i;
    size_t         n;
    unsigned       k;
    fn_locales_t  *l;

    static const char  english[] = "{\"a\":\"A {n, plural, one {x} other {# x}}\",\"b\":\"B\"}";

    l = fn_locales_new();

    if (l == NULL || fn_locales_parse(l, language == 0 ? 3 : 0, language == 0 ? "{}" : english, language == 0 ? 2 : sizeof(english) - 1, problem,
                                      sizeof(problem)) != 0) {
        abort();
    }

    if (fn_locales_parse(l, language, text, size, problem, sizeof(problem)) == 0) {
        if (fn_locales_finish(l, problem, sizeof(problem)) == 0) {
            for (i = 0; i <= FN_PSEUDO; i++) {
                if (fn_locales_json(l, i, &n)[n - 1] != '}') {
                    abort();
                }
            }

            for (k = 0; k < fn_locales_n(l); k++) {
                if (fn_locales_text(l, "de", fn_locales_key(l, k)) == NULL) {
                    abort();
                }
            }
        }

    } else if (problem[0] == '\0') {
        abort();
    }

    fn_locales_free(l);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int    i;
    char  *text;

    if (size == 0) {
        return 0;
    }

    /* an exact allocation, so that a byte too far is seen */
    text = malloc(size > 1 ? size - 1 : 1);
    if (text == NULL) {
        return 0;
    }

    memcpy(text, data + 1, size - 1);
    size--;

    switch (data[0] % 5) {
    case 0:
        i = fn_language_negotiate(text, size);
        if (i < -1 || i >= FN_LANGUAGES_N) {
            abort();
        }
        break;
    case 1:
        i = fn_language_lookup(text, size);
        if (i < -1 || i > FN_PSEUDO) {
            abort();
        }
        break;
    default:
        fuzz_file(data[0] % 5 == 2 ? -1 : data[0] % 5 == 3 ? 0 : 3, text, size);
    }

    free(text);

    return 0;
}
