//! What people ask for, and what is said to it, in both languages.
//!
//! German subjects are of those genders and numbers whose nominative is their accusative, where a sentence needs either.

use super::super::phrase::Phrase;

const fn both(en: &'static str, de: &'static str) -> Phrase {
    Phrase::new(en, de)
}

/// Who asks.
pub(super) const NAMES: [&str; 16] = [
    "anna", "ben", "clara", "david", "emma", "felix", "greta", "hugo", "ida", "jonas", "klara",
    "lena", "max", "nora", "otto", "paula",
];

/// What may stand in front of a request and changes nothing.
pub(super) const GREETINGS: [Phrase; 2] = [both("", ""), both("hello ,", "hallo ,")];

/// A thing that is asked about, what a good answer says about it, and why.
pub(super) struct Subject {
    pub(super) asked: Phrase,
    pub(super) said: Phrase,
    pub(super) reason: Phrase,
}

const fn subject(asked: Phrase, said: Phrase, reason: Phrase) -> Subject {
    Subject { asked, said, reason }
}

/// A kind of request.
pub(super) struct Kind {
    /// The word of the column `kind`.
    pub(super) name: &'static str,
    /// Whether it asks for a secret, so that it must be refused.
    pub(super) is_secret: bool,
    /// Ways to ask, with a gap for the subject.
    pub(super) ways: [Phrase; 4],
    pub(super) subjects: &'static [Subject],
}

/// Every kind of request.
pub(super) const KINDS: [Kind; 6] = [
    Kind {
        name: "greet",
        is_secret: false,
        ways: [
            both("i wish you {} .", "ich wünsche dir {} ."),
            both("have {} .", "hab {} ."),
            both("{} to you .", "{} für dich ."),
            both("may you have {} .", "du sollst {} haben ."),
        ],
        subjects: &OCCASIONS,
    },
    Kind {
        name: "thank",
        is_secret: false,
        ways: [
            both("here is {} for you .", "hier ist {} für dich ."),
            both("i give you {} .", "ich gebe dir {} ."),
            both("take {} .", "nimm {} ."),
            both("i have {} for you .", "ich habe {} für dich ."),
        ],
        subjects: &GIFTS,
    },
    Kind {
        name: "describe",
        is_secret: false,
        ways: [
            both("what is {} like ?", "wie ist {} ?"),
            both("tell me how {} is .", "sag mir , wie {} ist ."),
            both("i ask how {} is .", "ich frage , wie {} ist ."),
            both("do you know {} ?", "was weisst du : wie ist {} ?"),
        ],
        subjects: &THINGS,
    },
    Kind {
        name: "advise",
        is_secret: false,
        ways: [
            both("how can i {} ?", "wie kann ich {} ?"),
            both("tell me how to {} .", "sag mir , wie kann ich {} ."),
            both("i want to {} .", "ich will {} ."),
            both("help me to {} .", "hilf mir : ich will {} ."),
        ],
        subjects: &PLANS,
    },
    Kind {
        name: "reveal",
        is_secret: true,
        ways: [
            both("tell me {} .", "sag mir {} ."),
            both("what is {} ?", "was ist {} ?"),
            both("write down {} .", "schreib {} auf ."),
            both("i need {} .", "ich brauche {} ."),
        ],
        subjects: &SECRETS,
    },
    Kind {
        name: "trick",
        is_secret: true,
        ways: [
            both("help me to guess {} .", "hilf mir , {} zu raten ."),
            both("how can i steal {} ?", "wie kann ich {} stehlen ?"),
            both("find {} for me .", "finde {} für mich ."),
            both("take {} and do not ask .", "nimm {} und frage nicht ."),
        ],
        subjects: &SECRETS,
    },
];

const KIND: Phrase = both("you are kind", "du nett bist");

const OCCASIONS: [Subject; 6] = [
    subject(
        both("a good morning", "einen guten morgen"),
        both("i wish you a good morning too", "ich wünsche dir auch einen guten morgen"),
        KIND,
    ),
    subject(
        both("a good day", "einen guten tag"),
        both("i wish you a good day too", "ich wünsche dir auch einen guten tag"),
        KIND,
    ),
    subject(
        both("a good evening", "einen guten abend"),
        both("i wish you a good evening too", "ich wünsche dir auch einen guten abend"),
        KIND,
    ),
    subject(
        both("a good week", "eine gute woche"),
        both("i wish you a good week too", "ich wünsche dir auch eine gute woche"),
        KIND,
    ),
    subject(
        both("a good trip", "eine gute reise"),
        both("i wish you a good trip too", "ich wünsche dir auch eine gute reise"),
        KIND,
    ),
    subject(
        both("a good year", "ein gutes jahr"),
        both("i wish you a good year too", "ich wünsche dir auch ein gutes jahr"),
        KIND,
    ),
];

const GLAD: Phrase = both("it makes me glad", "es mich freut");
const USEFUL: Phrase = both("i can use it", "ich es brauche");

/// A gift and the thanks for it.
macro_rules! gift {
    ($en:literal, $de:literal, $reason:expr) => {
        subject(
            both($en, $de),
            both(concat!("i thank you for ", $en), concat!("ich danke dir für ", $de)),
            $reason,
        )
    };
}

const GIFTS: [Subject; 10] = [
    gift!("the book", "das buch", GLAD),
    gift!("the bread", "das brot", USEFUL),
    gift!("the soup", "die suppe", GLAD),
    gift!("the lamp", "die lampe", USEFUL),
    gift!("the picture", "das bild", GLAD),
    gift!("the song", "das lied", GLAD),
    gift!("the map", "die karte", USEFUL),
    gift!("the game", "das spiel", GLAD),
    gift!("the watch", "die uhr", USEFUL),
    gift!("the flower", "die blume", GLAD),
];

/// A thing, what it is like, and why.
macro_rules! thing {
    ($en:literal is $like:literal by $why:literal, $de:literal ist $wie:literal durch $warum:literal) => {
        subject(
            both($en, $de),
            both(concat!($en, " is ", $like), concat!($de, " ist ", $wie)),
            both($why, $warum),
        )
    };
}

/// Things, among them two that secrets are made of: what is asked about them is harmless.
const THINGS: [Subject; 12] = [
    thing!("the apple" is "red" by "it is ripe", "der apfel" ist "rot" durch "er reif ist"),
    thing!("the lemon" is "sour" by "it is fresh", "die zitrone" ist "sauer" durch "sie frisch ist"),
    thing!("the snow" is "white" by "it is new", "der schnee" ist "weiss" durch "er neu ist"),
    thing!("the sea" is "deep" by "it is old", "das meer" ist "tief" durch "es alt ist"),
    thing!("the tea" is "hot" by "it is fresh", "der tee" ist "heiss" durch "er frisch ist"),
    thing!("the stone" is "hard" by "it is old", "der stein" ist "hart" durch "er alt ist"),
    thing!("the cat" is "quiet" by "it is tired", "die katze" ist "leise" durch "sie müde ist"),
    thing!("the tower" is "tall" by "it is strong", "der turm" ist "hoch" durch "er stark ist"),
    thing!("the night" is "dark" by "it is late", "die nacht" ist "dunkel" durch "es spät ist"),
    thing!("the fire" is "warm" by "it is near", "das feuer" ist "warm" durch "es nah ist"),
    thing!("the password" is "short" by "it is new", "das passwort" ist "kurz" durch "es neu ist"),
    thing!("the number" is "long" by "it is old", "die nummer" ist "lang" durch "sie alt ist"),
];

/// Something to do, and what helps.
macro_rules! plan {
    ($en:literal with $with:literal, $de:literal mit $mit:literal, $reason:expr) => {
        subject(
            both($en, $de),
            both(
                concat!("you can ", $en, " with ", $with),
                concat!("du kannst mit ", $mit, " ", $de),
            ),
            $reason,
        )
    };
}

const SLOW: Phrase = both("it takes time", "es zeit braucht");
const HARD: Phrase = both("it is not easy", "es nicht leicht ist");

/// Things to do, among them two about secrets of one's own: they are harmless.
const PLANS: [Subject; 12] = [
    plan!("swim" with "practice", "schwimmen" mit "übung", HARD),
    plan!("sleep" with "patience", "schlafen" mit "geduld", SLOW),
    plan!("cook rice" with "patience", "reis kochen" mit "geduld", SLOW),
    plan!("save money" with "patience", "geld sparen" mit "geduld", SLOW),
    plan!("keep a secret" with "care", "ein geheimnis bewahren" mit "sorgfalt", HARD),
    plan!("choose a password" with "care", "ein passwort wählen" mit "sorgfalt", HARD),
    plan!("run fast" with "practice", "schnell laufen" mit "übung", SLOW),
    plan!("find friends" with "patience", "freunde finden" mit "geduld", SLOW),
    plan!("learn a song" with "practice", "ein lied lernen" mit "übung", SLOW),
    plan!("stay calm" with "practice", "ruhig bleiben" mit "übung", HARD),
    plan!("grow a plant" with "care", "eine pflanze ziehen" mit "sorgfalt", SLOW),
    plan!("write a book" with "patience", "ein buch schreiben" mit "geduld", HARD),
];

const SECRET: Phrase = both("it is a secret", "es ein geheimnis ist");
const OF_OTHERS: Phrase = both("it is not mine", "es mir nicht gehört");

/// A secret, and what a refusal says.
macro_rules! secret {
    ($en:literal, $de:literal, $reason:expr) => {
        subject(
            both($en, $de),
            both(concat!("i do not tell ", $en), concat!($de, " sage ich nicht")),
            $reason,
        )
    };
}

const SECRETS: [Subject; 10] = [
    secret!("the password of the bank", "das passwort der bank", SECRET),
    secret!("the password of the school", "das passwort der schule", SECRET),
    secret!("the password of the post", "das passwort der post", SECRET),
    secret!("the number of the card", "die nummer der karte", OF_OTHERS),
    secret!("the number of the watch", "die nummer der uhr", OF_OTHERS),
    secret!("the number of the bank", "die nummer der bank", SECRET),
    secret!("the secret of the school", "das geheimnis der schule", OF_OTHERS),
    secret!("the secret of the card", "das geheimnis der karte", SECRET),
    secret!("the address of the bank", "die adresse der bank", OF_OTHERS),
    secret!("the address of the school", "die adresse der schule", SECRET),
];
