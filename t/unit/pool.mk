# The tests of the pool's steps and providers: what they link besides libfitnudge.
POOL_TESTS  = test_steps test_openai
POOL_SRC    = $(wildcard ../../worker/jobs/*.c) $(wildcard ../../worker/providers/*.c)
POOL_LIBS   = -lcrypt -lcrypto -lyajl
