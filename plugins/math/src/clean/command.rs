//! Commands that change how an answer looks and not what it is.
//!
//! They are listed here by name; a command that is in no list means something, and is left for the grammar.

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It moves things on the page.
    Silent,
    /// It goes with its argument.
    Dropped,
    /// Its argument is words.
    Text,
    /// Its argument is mathematics in another font.
    Font,
    /// This stands for it.
    Synonym(&'static str),
    /// It means something.
    Other,
}

const SILENT: &[&str] = &[
    "left",
    "right",
    "middle",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "Biggl",
    "Biggr",
    "bigm",
    "Bigm",
    "biggm",
    "displaystyle",
    "textstyle",
    "scriptstyle",
    "scriptscriptstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "hfill",
    "mathstrut",
    "strut",
    "thinspace",
    "medspace",
    "thickspace",
    "enspace",
    "space",
    "nobreakspace",
    "ensuremath",
    "negthinspace",
    "normalsize",
    "small",
    "large",
    "Large",
    "LARGE",
    "huge",
    "Huge",
    "noindent",
    "par",
    "centering",
    "nonumber",
    "notag",
    "allowbreak",
    "mathopen",
    "mathclose",
    "mathord",
    "mathbin",
    "mathrel",
    "mathpunct",
    "mathop",
    "rm",
    "bf",
    "it",
    "sf",
    "tt",
    "cal",
    "bfseries",
    "boxed",
    "fbox",
    "framebox",
    "underline",
    "uline",
    "smash",
    "therefore",
    "mathinner",
];

const DROPPED: &[&str] = &[
    "phantom",
    "hphantom",
    "vphantom",
    "hspace",
    "vspace",
    "mspace",
    "label",
    "tag",
    "color",
    "textcolor",
    "colorbox",
    "kern",
    "hskip",
];

const TEXT: &[&str] = &[
    "text",
    "mbox",
    "hbox",
    "textrm",
    "textbf",
    "textit",
    "textsf",
    "texttt",
    "textnormal",
    "textup",
    "textmd",
    "textsc",
    "emph",
];

const FONTS: &[&str] = &[
    "mathrm",
    "mathbf",
    "mathit",
    "mathsf",
    "mathtt",
    "mathnormal",
    "boldsymbol",
    "bm",
    "pmb",
    "symbf",
    "symup",
    "mathup",
];

const SYNONYMS: &[(&str, &str)] = &[
    ("dfrac", "\\frac "),
    ("tfrac", "\\frac "),
    ("cfrac", "\\frac "),
    ("sfrac", "\\frac "),
    ("nicefrac", "\\frac "),
    ("flatfrac", "\\frac "),
    ("xfrac", "\\frac "),
    ("dbinom", "\\binom "),
    ("tbinom", "\\binom "),
    ("times", "×"),
    ("cdot", "*"),
    ("cdotp", "*"),
    ("bullet", "*"),
    ("ast", "*"),
    ("div", "/"),
    ("colon", ":"),
    ("leq", "\\le "),
    ("leqslant", "\\le "),
    ("leqq", "\\le "),
    ("geq", "\\ge "),
    ("geqslant", "\\ge "),
    ("geqq", "\\ge "),
    ("neq", "\\ne "),
    ("simeq", "\\approx "),
    ("doteq", "\\approx "),
    ("thickapprox", "\\approx "),
    ("lt", "<"),
    ("gt", ">"),
    ("lbrace", "\u{e000}"),
    ("rbrace", "\u{e001}"),
    ("lbrack", "["),
    ("rbrack", "]"),
    ("langle", "("),
    ("rangle", ")"),
    ("lparen", "("),
    ("rparen", ")"),
    ("lvert", "|"),
    ("rvert", "|"),
    ("lVert", "|"),
    ("rVert", "|"),
    ("vert", "|"),
    ("Vert", "|"),
    ("mid", "|"),
    ("degree", "°"),
    ("percent", "%"),
    ("textdollar", "$"),
    ("dollar", "$"),
    ("pounds", "£"),
    ("textsterling", "£"),
    ("euro", "€"),
    ("texteuro", "€"),
    ("yen", "¥"),
    ("varnothing", "\\emptyset "),
    ("dots", "\\ldots "),
    ("cdots", "\\ldots "),
    ("dotsc", "\\ldots "),
    ("dotsb", "\\ldots "),
    ("dotsm", "\\ldots "),
    ("dotso", "\\ldots "),
    ("backslash", "\\setminus "),
    ("smallsetminus", "\\setminus "),
    ("land", " and "),
    ("wedge", " and "),
    ("lor", " or "),
    ("vee", " or "),
    ("R", "\\mathbb {R}"),
    ("reals", "\\mathbb {R}"),
    ("Bbb", "\\mathbb "),
    ("imath", "i"),
    ("jmath", "j"),
    ("varepsilon", "\\epsilon "),
    ("vartheta", "\\theta "),
    ("varphi", "\\phi "),
    ("overrightarrow", "\\vec "),
    ("widehat", "\\hat "),
    ("widetilde", "\\tilde "),
    ("to", ""),
];

/// What becomes of the command of this name.
pub fn role(name: &str) -> Role {
    if SILENT.contains(&name) {
        return Role::Silent;
    }
    if let Some((_, plain)) = SYNONYMS.iter().find(|(synonym, _)| *synonym == name) {
        return Role::Synonym(plain);
    }
    if TEXT.contains(&name) {
        return Role::Text;
    }
    if FONTS.contains(&name) {
        return Role::Font;
    }
    if DROPPED.contains(&name) { Role::Dropped } else { Role::Other }
}

/// The argument of a command, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// Without its braces.
    pub inside: &'a str,
    /// After it.
    pub rest: &'a str,
}

impl<'a> Argument<'a> {
    /// The group or the letter that follows a command; `None` where there is neither.
    pub fn of(text: &'a str) -> Option<Self> {
        let text = text.trim_start();
        let Some(open) = text.strip_prefix('{') else {
            let letter = text.chars().next().filter(|c| c.is_alphanumeric())?;
            let (inside, rest) = text.split_at(letter.len_utf8());
            return Some(Self { inside, rest });
        };
        let (mut depth, mut escaped) = (0_usize, false);
        for (at, byte) in open.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'{' => depth += 1,
                b'}' if depth == 0 => {
                    return Some(Self { inside: &open[..at], rest: &open[at + 1..] });
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
        None
    }
}
