//! Words of the small generated tasks.

use r1x_core::plan::{Language, StringTask};

use crate::read::words;

words!(Language {
    "en" => En, "English";
    "de" => De, "German";
});
words!(StringTask {
    "reverse" => Reverse, "the letters from the last to the first";
    "count" => Count, "how often a letter is among them";
    "nth" => Nth, "which letter stands at a place";
    "sort" => Sort, "the letters in the order of the alphabet";
});
