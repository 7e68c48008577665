//! What pages are made of. A page is a list of blocks; one template writes them all, so that what
//! makes a page usable by everybody (labels, error summaries, captions, focus) is written once.

use askama::Template;

use super::words;
use crate::locale::Lang;

/// A page's own part: what stands under the header.
pub struct Page {
    /// The title: the first heading, and the name of the browser's window.
    pub title: String,
    /// What it shows.
    pub blocks: Vec<Block>,
    /// Which entry of the navigation it belongs to.
    pub section: &'static str,
    /// Where a reader came from, if there is one way back.
    pub back: Option<Link>,
}

/// A part of a page.
pub enum Block {
    /// A heading of the second level.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A paragraph in small print.
    Note(String),
    /// Something that has to be seen.
    Notice(Notice),
    /// Names and values.
    Summary(Vec<(String, Cell)>),
    /// A table.
    Table(Table),
    /// A form.
    Form(Box<Form>),
    /// Links, one below the other.
    Links(Vec<Link>),
    /// Large numbers with what they count, each a link.
    Figures(Vec<Figure>),
    /// A picture, written by the program itself.
    Picture(Picture),
    /// A text as it stands.
    Verbatim(String),
    /// The place where what comes later is put.
    Rest,
}

/// How loud a notice is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// To be known.
    Plain,
    /// Done.
    Good,
    /// To be done something about.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// Something that has to be seen.
pub struct Notice {
    /// How loud.
    pub tone: Tone,
    /// What kind of notice it is, in a word or two.
    pub title: String,
    /// What it says.
    pub text: String,
    /// A code or secret to be copied, if it has one.
    pub code: Option<String>,
}

/// A table.
pub struct Table {
    /// What it tells.
    pub caption: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// The rows; the first cell of each is its head.
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there is no row.
    pub empty: String,
}

/// What stands in one cell: pieces, each on a line of its own.
#[derive(Default)]
pub struct Cell(pub Vec<Piece>);

/// A piece of a cell.
pub enum Piece {
    /// Words.
    Text(String),
    /// Words that lead somewhere.
    Link(Link),
    /// A state.
    Tag(Tone, String),
    /// A moment.
    Moment(String, String),
    /// Something to be copied.
    Code(String),
}

/// Words that lead somewhere.
pub struct Link {
    /// Where.
    pub href: String,
    /// The words.
    pub text: String,
    /// What only a listener is told, to tell links of the same words apart.
    pub about: String,
}

/// A number with what it counts.
pub struct Figure {
    /// The number, or a word.
    pub value: String,
    /// What it counts.
    pub label: String,
    /// Where more is told.
    pub href: String,
    /// Whether somebody has to do something about it.
    pub tone: Tone,
}

/// A picture that the server drew.
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// The picture, SVG.
    pub svg: String,
    /// The same in words.
    pub alternative: String,
}

/// A form.
pub struct Form {
    /// Where it is sent.
    pub action: String,
    /// Its heading; none where the page's title says it.
    pub heading: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Its buttons; the first is the one meant.
    pub buttons: Vec<Button>,
    /// Whether a file is sent with it.
    pub file: bool,
    /// What a script asks the browser for before it is sent. Without a script it is not shown.
    pub asks: Option<Asks>,
    /// What is said if the browser does not give it.
    pub failed: String,
    /// Filled in when the page is written.
    pub seal: String,
    /// Filled in when the page is written.
    pub once: String,
}

/// What a browser is asked for by a script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// To sign with a passkey.
    Passkey,
    /// To make a passkey.
    NewPasskey,
}

impl Asks {
    fn word(self) -> &'static str {
        match self {
            Self::Passkey => "get",
            Self::NewPasskey => "create",
        }
    }
}

/// A button.
pub struct Button {
    /// Its words.
    pub text: String,
    /// What is sent when it is pressed; empty for nothing.
    pub act: &'static str,
    /// Whether it undoes or destroys.
    pub tone: Tone,
}

/// A field of a form.
pub struct Field {
    /// Its name.
    pub name: String,
    /// What is asked for.
    pub label: String,
    /// How to answer; empty for nothing.
    pub hint: String,
    /// What is wrong with the answer.
    pub error: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a field is.
pub enum Kind {
    /// A line.
    Line {
        /// The type of the input.
        kind: &'static str,
        /// What is in it.
        value: String,
        /// What a browser may fill in.
        autocomplete: &'static str,
        /// How wide it looks.
        width: &'static str,
    },
    /// Several lines.
    Area {
        /// What is in it.
        value: String,
    },
    /// One of a few.
    One {
        /// What there is to choose from.
        choices: Vec<Choice>,
    },
    /// One of many.
    List {
        /// What there is to choose from.
        choices: Vec<Choice>,
    },
    /// Any of a few.
    Any {
        /// What there is to choose from.
        choices: Vec<Choice>,
    },
    /// A date, as far as it is known.
    Date {
        /// Day.
        day: String,
        /// Month.
        month: String,
        /// Year.
        year: String,
    },
    /// A file.
    File,
    /// Nothing to be seen.
    Hidden {
        /// What is sent.
        value: String,
    },
}

/// Something to choose.
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// Its words.
    pub text: String,
    /// What it means; empty for nothing.
    pub hint: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// What is known of the reader and of the page around.
pub struct Frame {
    /// The language.
    pub lang: Lang,
    /// The member whose node this is.
    pub member: String,
    /// Who is signed in, if anyone.
    pub person: Option<String>,
    /// Entries of the navigation: section, words, address.
    pub navigation: Vec<(&'static str, String, String)>,
    /// Address of the page, to come back to it in another language.
    pub here: String,
    /// The stylesheet's address.
    pub stylesheet: String,
    /// The script's address.
    pub script: String,
    /// What the header's forms carry.
    pub seal: String,
    /// Said above everything else, for instance that what was typed is here again.
    pub notices: Vec<Notice>,
}

#[derive(Template)]
#[template(path = "console/page.html")]
struct Written<'a> {
    frame: &'a Frame,
    page: &'a Page,
    blocks: &'a [Block],
    errors: Vec<(String, &'a str)>,
}

/// Blocks without a page, to be put into one that was begun.
#[derive(Template)]
#[template(path = "console/blocks.html")]
struct Part<'a> {
    lang: Lang,
    blocks: &'a [Block],
}

impl Part<'_> {
    fn text(&self, id: &str) -> String {
        self.lang.text(id)
    }
}

/// Blocks as HTML, to follow on a page that was begun.
#[must_use]
pub fn write_blocks(lang: Lang, blocks: &[Block]) -> String {
    Part { lang, blocks }.render().unwrap_or_default()
}

impl Written<'_> {
    fn text(&self, id: &str) -> String {
        self.frame.lang.text(id)
    }

    /// The languages that the page is not in.
    fn others(&self) -> impl Iterator<Item = Lang> {
        let here = self.frame.lang;
        Lang::ALL.into_iter().filter(move |lang| *lang != here)
    }
}

/// Where a page is cut so that its rest can follow later. No page has it: what people type is kept
/// free of control characters.
pub const CUT: &str = "\u{1}";

impl Page {
    /// A page that belongs to a section.
    #[must_use]
    pub fn new(section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            blocks: Vec::new(),
            section,
            back: None,
        }
    }

    /// With a way back.
    #[must_use]
    pub fn back(mut self, href: impl Into<String>, text: impl Into<String>) -> Self {
        self.back = Some(Link::new(href, text));
        self
    }

    /// With one block more.
    #[must_use]
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// With a form, every field of which has the errors found in it.
    #[must_use]
    pub fn form(self, form: Form) -> Self {
        self.with(Block::Form(Box::new(form)))
    }

    /// With a paragraph.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    /// With a heading.
    #[must_use]
    pub fn heading(self, text: impl Into<String>) -> Self {
        self.with(Block::Heading(text.into()))
    }

    /// With names and values.
    #[must_use]
    pub fn summary(self, rows: Vec<(String, Cell)>) -> Self {
        self.with(Block::Summary(rows))
    }

    /// With a notice.
    #[must_use]
    pub fn notice(self, tone: Tone, title: impl Into<String>, text: impl Into<String>) -> Self {
        self.with(Block::Notice(Notice {
            tone,
            title: title.into(),
            text: text.into(),
            code: None,
        }))
    }

    /// The page as HTML.
    #[must_use]
    pub fn write(&self, frame: &Frame, general: &[String]) -> String {
        let mut errors: Vec<(String, &str)> = general
            .iter()
            .map(|error| ("main".to_owned(), error.as_str()))
            .collect();
        for block in &self.blocks {
            if let Block::Form(form) = block {
                for field in &form.fields {
                    if let Some(error) = &field.error {
                        errors.push((field.first_id(), error));
                    }
                }
            }
        }
        let written = Written {
            frame,
            page: self,
            blocks: &self.blocks,
            errors,
        };
        // A template of texts over a string: nothing in it can fail.
        written.render().unwrap_or_default()
    }
}

impl Field {
    /// A field of some kind.
    #[must_use]
    pub fn new(name: impl Into<String>, label: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            hint: String::new(),
            error: None,
            kind,
        }
    }

    /// A line of text.
    #[must_use]
    pub fn line(
        name: impl Into<String>,
        label: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self::new(
            name,
            label,
            Kind::Line {
                kind: "text",
                value: value.into(),
                autocomplete: "off",
                width: "full",
            },
        )
    }

    /// Something that is sent and not seen.
    #[must_use]
    pub fn hidden(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(
            name,
            "",
            Kind::Hidden {
                value: value.into(),
            },
        )
    }

    /// With how to answer.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With what is wrong.
    #[must_use]
    pub fn wrong(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// Narrower than a line.
    #[must_use]
    pub fn narrow(mut self) -> Self {
        if let Kind::Line { width, .. } = &mut self.kind {
            *width = "narrow";
        }
        self
    }

    fn first_id(&self) -> String {
        match &self.kind {
            Kind::Date { .. } => format!("f-{}-day", self.name),
            Kind::One { .. } | Kind::Any { .. } => format!("f-{}-0", self.name),
            _ => format!("f-{}", self.name),
        }
    }

    fn described_by(&self) -> String {
        let mut ids = Vec::new();
        if !self.hint.is_empty() {
            ids.push(format!("f-{}-hint", self.name));
        }
        if self.error.is_some() {
            ids.push(format!("f-{}-error", self.name));
        }
        ids.join(" ")
    }

    fn is_seen(&self) -> bool {
        !matches!(self.kind, Kind::Hidden { .. })
    }
}

impl Form {
    /// A form with one button.
    #[must_use]
    pub fn new(action: impl Into<String>, button: impl Into<String>) -> Self {
        Self::bare(action).button("", button, Tone::Good)
    }

    /// A form without a button yet.
    #[must_use]
    pub fn bare(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            heading: None,
            fields: Vec::new(),
            buttons: Vec::new(),
            file: false,
            asks: None,
            failed: String::new(),
            seal: String::new(),
            once: String::new(),
        }
    }

    /// With a field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// With a heading of its own.
    #[must_use]
    pub fn heading(mut self, heading: impl Into<String>) -> Self {
        self.heading = Some(heading.into());
        self
    }

    /// Before it is sent a script asks the browser for something; `failed` is said if it does not give
    /// it.
    #[must_use]
    pub fn asks(mut self, asks: Asks, failed: impl Into<String>) -> Self {
        self.asks = Some(asks);
        self.failed = failed.into();
        self
    }

    /// The first button says what it does when it is pressed.
    #[must_use]
    pub fn act(mut self, act: &'static str) -> Self {
        if let Some(button) = self.buttons.first_mut() {
            button.act = act;
        }
        self
    }

    /// With another button.
    #[must_use]
    pub fn button(mut self, act: &'static str, text: impl Into<String>, tone: Tone) -> Self {
        self.buttons.push(Button {
            text: text.into(),
            act,
            tone,
        });
        self
    }
}

impl Link {
    /// Words that lead somewhere.
    #[must_use]
    pub fn new(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            href: href.into(),
            text: text.into(),
            about: String::new(),
        }
    }

    /// With what only a listener is told.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }
}

impl Cell {
    /// Words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// A state.
    #[must_use]
    pub fn tag(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![Piece::Tag(tone, text.into())])
    }

    /// A link.
    #[must_use]
    pub fn link(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self(vec![Piece::Link(Link::new(href, text))])
    }

    /// Something to be copied.
    #[must_use]
    pub fn code(text: impl Into<String>) -> Self {
        Self(vec![Piece::Code(text.into())])
    }

    /// A moment, from milliseconds since 1970.
    #[must_use]
    pub fn moment(lang: Lang, ms: u64) -> Self {
        Self(vec![Piece::Moment(
            words::machine_moment(ms),
            words::moment(lang, ms),
        )])
    }

    /// Pieces one below the other.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Choice {
    /// Something to choose.
    #[must_use]
    pub fn new(value: impl Into<String>, text: impl Into<String>, chosen: bool) -> Self {
        Self {
            value: value.into(),
            text: text.into(),
            hint: String::new(),
            chosen,
        }
    }

    /// With what it means.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}
