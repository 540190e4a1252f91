# The tests of the pool's steps and providers: what they link besides libfitnudge.
POOL_TESTS  = test_steps test_account test_openai $(PROVIDER_TESTS)
POOL_SRC    = $(wildcard ../../worker/jobs/*.c) $(wildcard ../../worker/providers/*.c) $(wildcard ../../worker/mail/*.c) ../../worker/service.c
POOL_LIBS   = -lcrypt -lcrypto -lyajl -licui18n -licuuc -lz $(shell pkg-config --libs check)

# These use Check.
PROVIDER_TESTS = test_r2 test_elevenlabs test_fcm test_mail test_events test_provider_memory test_service test_locales
