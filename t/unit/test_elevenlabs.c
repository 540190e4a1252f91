/* ElevenLabs: voices, the request, and the table of its errors. */
#include "provider_test.h"

#include "libfitnudge/fn_voices.h"
#include "providers/elevenlabs.h"

#define CTX  "{\"text\":\"Allez \\\"vite\\\" \\u00e9!\",\"tone\":\"calm\",\"language\":\"fr\",\"key\":\"private/u/v.mp3\",\"content_type\":\"audio/mpeg\"}"

#define pairs  fn_provider_voice.pairs


static void
on(void)
{
    set(elevenlabs_api_key, "xi-key");
    set(elevenlabs_voices, "base1 calm=calm1 /fr=french1 calm/fr=calmfrench1 tough_love=tough1");
}


START_TEST(test_voices)
{
    char    id[FN_VOICE_MAX + 1];
    size_t  i;

    static const char  table[] = " base1 calm=calm1\tcalm/fr=calmfr /fr=fr1 tough_love=t1 tough_love=t2 ";
    static const struct { const char *tone, *language, *id; } cases[] = {
        { "friendly", "en", "base1" }, { "calm", "en", "calm1" }, { "calm", "fr", "calmfr" }, { "friendly", "fr", "fr1" },
        { "tough_love", "de", "t2" }, { "tough_love", "fr", "fr1" }, { "", "", "base1" }
    };
    static const char *const  bad[] = { "", "  ", "calm=", "loud=x", "calm/xx=x", "calm/fr", "a/b", "a-b", "a=b=c", "calm/fr/de=x",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "../x", "x?y" };

    ck_assert(fn_voices_valid(table));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_int_eq(fn_voices_find(id, table, cases[i].tone, cases[i].language), 0);
        ck_assert_str_eq(id, cases[i].id);
    }
    ck_assert_int_eq(fn_voices_find(id, "calm=x", "friendly", "en"), -1);
    ck_assert_int_eq(fn_voices_find(id, NULL, "friendly", "en"), -1);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!fn_voices_valid(bad[i]), "valid: %s", bad[i]);
    }
}
END_TEST


START_TEST(test_build)
{
    begin();
    ck_assert_int_eq(build(pairs, CTX), FN_OFF);
    ck_assert(!fn_provider_voice.configured(&settings));
    on();
    ck_assert(fn_elevenlabs_configured(&settings));
    ck_assert(!fn_provider_voice.configured(&settings));        /* nowhere to keep it */

    ck_assert_int_eq(build(pairs, CTX), FN_BUILT);
    ck_assert_str_eq(x.url, "https://api.elevenlabs.io/v1/text-to-speech/calmfrench1?output_format=mp3_44100_128");
    ck_assert_str_eq(header("xi-api-key"), "xi-key");
    ck_assert_str_eq(header("Accept"), "audio/mpeg");
    ck_assert_int_eq(x.method, FN_METHOD_POST);
    ck_assert_int_eq(x.response_max, 10 * 1024 * 1024);
    ck_assert_int_eq(x.timeout_ms, 30000);
    ck_assert_str_eq(x.body.data, "{\"text\":\"Allez \\\"vite\\\" \xc3\xa9!\",\"model_id\":\"eleven_multilingual_v2\","
        "\"voice_settings\":{\"stability\":0.5,\"similarity_boost\":0.75,\"style\":0,\"use_speaker_boost\":true,\"speed\":1.0}}");

    ck_assert_int_eq(build(pairs, "{\"text\":\"\",\"tone\":\"calm\"}"), FN_OFF);
    ck_assert_int_eq(build(pairs, "{\"text\":[\"x\"],\"tone\":\"calm\"}"), FN_OFF);
    set(elevenlabs_voices, "calm=x");
    ck_assert_int_eq(build(pairs, "{\"text\":\"x\",\"tone\":\"friendly\"}"), FN_OFF);
    ck_assert_int_eq(build(pairs, "{\"text\":\"x\",\"tone\":{}}"), FN_OFF);
    on();
    set(elevenlabs_api_key, "a\r\nX: b");
    ck_assert_int_eq(build(pairs, CTX), FN_OFF);
    end();
}
END_TEST


START_TEST(test_audio)
{
    static const char  mp3[] = "ID3\x04\0\0\xff\xfb\x90";

    begin();
    on();
    ck_assert_int_eq(parse_bytes(pairs, 200, mp3, 9, "content-type: audio/mpeg\r\n"), FN_DONE);
    ck_assert_int_eq(call.carried.len, 9);
    ck_assert(memcmp(call.carried.data, mp3, 9) == 0);
    ck_assert_int_eq(result.len, 0);
    ck_assert_int_eq(parse_bytes(pairs, 200, mp3, 9, NULL), FN_DONE);
    ck_assert_int_eq(parse_bytes(pairs, 200, "\xff\xfb\x90", 3, NULL), FN_DONE);
    ck_assert_int_eq(parse_bytes(pairs, 200, "{\"x\":1}", 7, NULL), FN_DEAD);
    ck_assert_int_eq(parse_bytes(pairs, 200, mp3, 9, "content-type: application/json\r\n"), FN_DEAD);
    ck_assert_int_eq(parse_bytes(pairs, 200, "", 0, "content-type: audio/mpeg\r\n"), FN_DEAD);
    end();
}
END_TEST


static const struct { long status; const char *body; fn_outcome_e outcome; long wait; int alert; } errors[] = {
    { 401, "{\"detail\":{\"status\":\"invalid_api_key\",\"message\":\"m\"}}", FN_DEAD, -1, 1 },
    { 401, "{\"detail\":{\"status\":\"quota_exceeded\",\"message\":\"m\"}}", FN_DEAD, -1, 1 },
    { 401, "", FN_DEAD, -1, 1 },
    { 402, "", FN_DEAD, -1, 1 },
    { 400, "{\"detail\":{\"status\":\"max_character_limit_exceeded\",\"message\":\"m\"}}", FN_DEAD, -1, 0 },
    { 400, "{\"detail\":{\"status\":\"voice_not_found\",\"message\":\"m\"}}", FN_DEAD, -1, 1 },
    { 404, "{\"detail\":{\"status\":\"voice_not_found\",\"message\":\"m\"}}", FN_DEAD, -1, 1 },
    { 422, "{\"detail\":[{\"loc\":[\"body\",\"text\"],\"msg\":\"field required\",\"type\":\"value_error.missing\"}]}", FN_DEAD, -1, 0 },
    { 429, "{\"detail\":{\"status\":\"too_many_concurrent_requests\",\"message\":\"m\"}}", FN_BUSY, 1000, 0 },
    { 429, "{\"detail\":{\"code\":\"concurrent_limit_exceeded\",\"message\":\"m\"}}", FN_BUSY, 1000, 0 },
    { 429, "{\"detail\":{\"status\":\"system_busy\",\"message\":\"m\"}}", FN_RETRY, -1, 0 },
    { 429, "slow down", FN_BUSY, -1, 0 },
    { 408, "", FN_RETRY, -1, 0 },
    { 500, "", FN_RETRY, -1, 0 },
    { 503, "<html>", FN_RETRY, -1, 0 },
    { 204, "", FN_DEAD, -1, 0 }
};

START_TEST(test_errors)
{
    begin();
    ck_assert_int_eq(parse(pairs, errors[_i].status, errors[_i].body), errors[_i].outcome);
    ck_assert_int_eq(call.wait_ms, errors[_i].wait);
    ck_assert_int_eq(call.alert != NULL, errors[_i].alert);
    ck_assert_int_eq(call.carried.len, 0);
    ck_assert_int_eq(result.len, 0);
    end();
}
END_TEST


START_TEST(test_hostile)
{
    begin();
    on();
    ck_assert_int_eq(broken(pairs, 7), FN_RETRY);
    hostile(pairs);
    hostile_contexts(pairs);
    end();
}
END_TEST


static Suite *
elevenlabs_suite(void)
{
    Suite  *s = suite_create("elevenlabs");
    TCase  *tc = tcase_create("elevenlabs");

    fn_add(tc, test_voices);
    fn_add(tc, test_build);
    fn_add(tc, test_audio);
    fn_add_rows(tc, test_errors, errors);
    fn_add(tc, test_hostile);
    suite_add_tcase(s, tc);

    return s;
}

FN_TEST_MAIN(elevenlabs_suite)
