/* Messages written by hand, for when no provider can be asked. See messages.h. */
#include <string.h>

#include "messages.h"

typedef struct {
    const char *tone;
    const char *language;
    const char *text[FN_MESSAGES_EACH];
} fn_message_set_t;

static const fn_message_set_t  fn_message_sets[] = {
    { "friendly", "en", {
        "You're doing amazing! Even one step forward counts, and today's step is waiting for you. I'm cheering for you.",
        "You showed up before, and you can show up again today. Start small, smile at yourself, and enjoy how good it feels afterwards.",
        "Progress isn't about perfect days, it's about coming back. And look at you: here you are!",
        "Your goal is still yours, and it's closer than it was last week. Give it a little of today and be proud tonight.",
        "Ten minutes is enough to keep the promise you made to yourself. You've got this, and you deserve it.",
        "Every check-in tells the same story: you haven't given up. That's what strong people look like." } },
    { "tough_love", "en", {
        "No excuses today. Show up and prove it to yourself: you're tougher than your reasons to stay home.",
        "You don't need to feel like it. You need to start. Get moving now and thank yourself in an hour.",
        "The goal won't come to you. Stand up, do the work, and earn that good tired feeling.",
        "You said this mattered. So make it matter today, because you're capable of far more than you think.",
        "Skipping is easy and you don't do easy. Lace up, get it done, and walk taller tonight.",
        "Nobody can do this for you, and nobody has to. You have what it takes. Now use it." } },
    { "calm", "en", {
        "Today's small effort brings tomorrow's reward. Breathe, begin gently, and trust the path you're on.",
        "There's no hurry. One quiet, honest effort today is enough, and it will carry you further than you think.",
        "Let go of what you missed. This moment is new, and it's a good place to begin again.",
        "Steady water shapes the stone. Give your goal a little patience today and let it grow with you.",
        "Notice how far you have come. Take the next step at your own pace; you are exactly where you need to be.",
        "Set down the pressure and keep the promise. A calm, simple start is all that today asks of you." } },
    { "friendly", "es", {
        "¡Lo estás haciendo genial! Cada paso cuenta, y el de hoy te está esperando. ¡Mucho ánimo!",
        "Ya lo lograste otras veces y hoy también puedes. Empieza poco a poco y disfruta de lo bien que te vas a sentir después.",
        "No se trata de tener días perfectos, sino de volver. Y mírate: ¡aquí estás!",
        "Tu meta sigue siendo tuya y está más cerca que la semana pasada. Dedícale un ratito hoy y esta noche podrás sonreír.",
        "Diez minutos bastan para cumplir lo que te prometiste. ¡Tú puedes, y te lo mereces!",
        "Cada registro cuenta la misma historia: no te has rendido. Así es la gente fuerte, y tú eres así." } },
    { "tough_love", "es", {
        "Hoy no hay excusas. Ponte en marcha y demuéstrate que puedes más que tus pretextos.",
        "No hace falta que tengas ganas, hace falta que empieces. Muévete ya y dentro de una hora te lo agradecerás.",
        "La meta no va a venir a buscarte. Levántate, haz el trabajo y gánate ese buen cansancio.",
        "Dijiste que esto te importaba. Demuéstralo hoy, porque eres capaz de mucho más de lo que crees.",
        "Saltárselo es lo fácil, y lo tuyo no es lo fácil. Cálzate, cumple y termina el día con la cabeza bien alta.",
        "Nadie puede hacerlo por ti, y tampoco hace falta. Tienes todo lo necesario: ahora úsalo." } },
    { "calm", "es", {
        "El pequeño esfuerzo de hoy es la recompensa de mañana. Respira, empieza con suavidad y confía en tu camino.",
        "No hay prisa. Un esfuerzo tranquilo y sincero es suficiente por hoy, y te llevará más lejos de lo que imaginas.",
        "Suelta lo que quedó pendiente. Este momento es nuevo y es un buen lugar para volver a empezar.",
        "El agua constante da forma a la piedra. Dale hoy un poco de paciencia a tu meta y deja que crezca contigo.",
        "Mira todo lo que has avanzado. Da el siguiente paso a tu ritmo: estás justo donde necesitas estar.",
        "Deja a un lado la presión y quédate con la promesa. Un comienzo sencillo y sereno es todo lo que hoy te pide." } },
    { "friendly", "fr", {
        "Bravo, tu t'en sors très bien ! Chaque pas compte, et celui d'aujourd'hui n'attend que toi.",
        "Tu l'as déjà fait, et tu peux le refaire aujourd'hui. Commence doucement et savoure le bien que cela te fera.",
        "L'important n'est pas d'avoir des journées parfaites, c'est de revenir. Et te voilà !",
        "Ton objectif est toujours là, plus proche que la semaine dernière. Accorde-lui un moment aujourd'hui et sois content de toi ce soir.",
        "Dix minutes suffisent pour tenir la promesse que tu t'es faite. Tu peux y arriver, et tu le mérites !",
        "Chaque suivi raconte la même histoire : tu n'as pas abandonné. C'est ça, la vraie force." } },
    { "tough_love", "fr", {
        "Pas d'excuses aujourd'hui. Lance-toi et prouve-toi que tu vaux mieux que tes prétextes.",
        "Tu n'as pas besoin d'en avoir envie, tu as besoin de commencer. Bouge maintenant : dans une heure, tu te diras merci.",
        "L'objectif ne viendra pas à toi. Lève-toi, fais le travail et mérite cette bonne fatigue.",
        "Tu as dit que c'était important. Alors montre-le aujourd'hui : tu es capable de bien plus que tu ne le crois.",
        "Abandonner, c'est facile, et la facilité n'est pas ton genre. Mets tes baskets, termine, et garde la tête haute ce soir.",
        "Personne ne peut le faire à ta place, et c'est très bien ainsi. Tu as tout ce qu'il faut : sers-t'en." } },
    { "calm", "fr", {
        "Le petit effort d'aujourd'hui est la récompense de demain. Respire, commence en douceur et fais confiance à ton chemin.",
        "Rien ne presse. Un effort tranquille et sincère suffit aujourd'hui, et il te mènera plus loin que tu ne l'imagines.",
        "Laisse aller ce que tu as manqué. Ce moment est neuf, et c'est un bel endroit pour recommencer.",
        "L'eau patiente façonne la pierre. Offre un peu de patience à ton objectif et laisse-le grandir avec toi.",
        "Regarde le chemin parcouru. Fais le pas suivant à ton rythme : tu es exactement là où tu dois être.",
        "Dépose la pression et garde la promesse. Un début simple et serein, c'est tout ce que cette journée te demande." } },
    { "friendly", "de", {
        "Du machst das großartig! Jeder Schritt zählt, und der heutige wartet schon auf dich. Ich drücke dir die Daumen!",
        "Du hast es schon oft geschafft, und heute schaffst du es wieder. Fang klein an und freu dich auf das gute Gefühl danach.",
        "Es geht nicht um perfekte Tage, sondern ums Wiederkommen. Und sieh mal: Du bist da!",
        "Dein Ziel gehört immer noch dir, und es ist näher als letzte Woche. Schenk ihm heute ein bisschen Zeit und sei heute Abend stolz auf dich.",
        "Zehn Minuten reichen, um dein Versprechen an dich selbst zu halten. Du kannst das, und du hast es verdient!",
        "Jeder Eintrag erzählt dieselbe Geschichte: Du hast nicht aufgegeben. Genau so sieht Stärke aus." } },
    { "tough_love", "de", {
        "Heute gibt es keine Ausreden. Leg los und beweis dir, dass du stärker bist als jeder Vorwand.",
        "Du musst keine Lust haben, du musst nur anfangen. Beweg dich jetzt, und in einer Stunde wirst du dir danken.",
        "Das Ziel kommt nicht zu dir. Steh auf, tu was dafür und verdien dir diese gute Müdigkeit.",
        "Du hast gesagt, dass es dir wichtig ist. Dann zeig es heute, denn in dir steckt viel mehr, als du glaubst.",
        "Ausfallen lassen ist leicht, und leicht ist nicht dein Stil. Schuhe an, durchziehen, und heute Abend gehst du aufrecht.",
        "Niemand kann das für dich tun, und das muss auch niemand. Du hast alles, was du brauchst. Jetzt nutze es." } },
    { "calm", "de", {
        "Die kleine Mühe von heute ist der Lohn von morgen. Atme durch, beginne sanft und vertrau deinem Weg.",
        "Es eilt nicht. Ein ruhiger, ehrlicher Schritt genügt für heute, und er trägt dich weiter, als du denkst.",
        "Lass los, was liegen geblieben ist. Dieser Moment ist neu und ein guter Ort, um wieder anzufangen.",
        "Stetes Wasser formt den Stein. Schenk deinem Ziel heute etwas Geduld und lass es mit dir wachsen.",
        "Sieh, wie weit du schon gekommen bist. Geh den nächsten Schritt in deinem Tempo: Du bist genau dort, wo du sein sollst.",
        "Leg den Druck ab und behalte das Versprechen. Ein schlichter, ruhiger Anfang ist alles, was der heutige Tag von dir möchte." } }
};


const char *
fn_message(const char *tone, const char *language, unsigned i)
{
    size_t                   n;
    const fn_message_set_t  *set, *best;

    best = &fn_message_sets[0];

    /* The language matters more than the tone: a message one cannot read helps nobody. */
    for (n = sizeof(fn_message_sets) / sizeof(fn_message_sets[0]); n > 0; n--) {
        set = &fn_message_sets[n - 1];

        if (strcmp(set->language, language) != 0) {
            continue;
        }

        best = set;

        if (strcmp(set->tone, tone) == 0) {
            break;
        }
    }

    return best->text[i % FN_MESSAGES_EACH];
}
