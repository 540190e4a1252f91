/* Messages written by hand, for when no provider can be asked. See messages.h. */
#include <stdio.h>
#include <string.h>

#include "messages.h"

/* Without locales. These are those of conf/locales/common.json, so that nobody is ever left without a word. */
static const struct {
    const char *tone;
    const char *text[FN_MESSAGES_EACH];
}  fn_message_sets[] = {
    { "friendly", {
        "You're doing amazing! Even one step forward counts, and today's step is waiting for you. I'm cheering for you.",
        "You showed up before, and you can show up again today. Start small, smile at yourself, and enjoy how good it feels afterwards.",
        "Progress isn't about perfect days, it's about coming back. And look at you: here you are!",
        "Your goal is still yours, and it's closer than it was last week. Give it a little of today and be proud tonight.",
        "Ten minutes is enough to keep the promise you made to yourself. You've got this, and you deserve it.",
        "Every check-in tells the same story: you haven't given up. That's what strong people look like." } },
    { "tough_love", {
        "No excuses today. Show up and prove it to yourself: you're tougher than your reasons to stay home.",
        "You don't need to feel like it. You need to start. Get moving now and thank yourself in an hour.",
        "The goal won't come to you. Stand up, do the work, and earn that good tired feeling.",
        "You said this mattered. So make it matter today, because you're capable of far more than you think.",
        "Skipping is easy and you don't do easy. Lace up, get it done, and walk taller tonight.",
        "Nobody can do this for you, and nobody has to. You have what it takes. Now use it." } },
    { "calm", {
        "Today's small effort brings tomorrow's reward. Breathe, begin gently, and trust the path you're on.",
        "There's no hurry. One quiet, honest effort today is enough, and it will carry you further than you think.",
        "Let go of what you missed. This moment is new, and it's a good place to begin again.",
        "Steady water shapes the stone. Give your goal a little patience today and let it grow with you.",
        "Notice how far you have come. Take the next step at your own pace; you are exactly where you need to be.",
        "Set down the pressure and keep the promise. A calm, simple start is all that today asks of you." } }
};

#define FN_MESSAGE_SETS  (sizeof(fn_message_sets) / sizeof(fn_message_sets[0]))


const char *
fn_message(const fn_locales_t *l, const char *tone, const char *language, unsigned i)
{
    char         key[FN_LOCALES_KEY_MAX];
    size_t       n;
    const char  *text;

    for (n = 0; n < FN_MESSAGE_SETS && strcmp(fn_message_sets[n].tone, tone) != 0; n++) { /* void */ }

    n = n < FN_MESSAGE_SETS ? n : 0;
    i %= FN_MESSAGES_EACH;

    (void) snprintf(key, sizeof(key), "motivation.%s.%u", fn_message_sets[n].tone, i + 1);
    text = fn_locales_text(l, language, key);

    return text != NULL ? text : fn_message_sets[n].text[i];
}
