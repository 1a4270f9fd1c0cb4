//! Finds what looks like a control id in a text, and says what it is.

use aimslog_proto::aims::catalog::{Catalogue, Control, ControlClaim, Resolved, Schemes};
use serde::Serialize;

/// Catalogue of the articles that "Art. 73" is looked up in.
const ACT: &str = "eu-ai-act-2024";

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// A control.
    Ok,
    /// An id that stands for controls of another scheme.
    Alias,
    /// An id of another scheme than it was taken for.
    WrongScheme,
    /// No id of any catalogue here.
    Unknown,
    /// A cell that is computed.
    Formula,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Alias => "alias",
            Self::WrongScheme => "wrong scheme",
            Self::Unknown => "unknown",
            Self::Formula => "formula",
        }
    }

    pub(super) const fn is_wrong(self) -> bool {
        matches!(self, Self::WrongScheme | Self::Unknown | Self::Formula)
    }
}

/// An id in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mention {
    /// As it is written.
    pub(super) id: String,
    pub(super) status: Status,
    /// What there is to say, for people.
    pub(super) says: String,
    /// The controls that it is or stands for, as `scheme/id`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) real: Vec<String>,
    /// Where it is none: those that may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nearest: Vec<String>,
    /// Where it begins, in characters from 1.
    #[serde(skip)]
    pub(super) column: usize,
}

impl Mention {
    /// A cell that nobody can check.
    pub(super) fn formula(formula: String) -> Self {
        Self {
            id: formula,
            status: Status::Formula,
            says: "a formula; put its value there".to_owned(),
            real: Vec::new(),
            nearest: Vec::new(),
            column: 1,
        }
    }

    fn new(word: &Word<'_>, status: Status, says: String) -> Self {
        Self {
            id: word.text.to_owned(),
            status,
            says,
            real: Vec::new(),
            nearest: Vec::new(),
            column: word.column,
        }
    }
}

/// What ids are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'s> {
    pub(super) schemes: &'s Schemes,
    /// Of ids that name no scheme.
    pub(super) scheme: &'s Catalogue,
}

/// What the words before make of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// Clause, control ...
    Clause,
    /// Article, in a text about the AI Act.
    Article,
}

/// A word, without the punctuation around it.
#[derive(Debug, Clone, Copy)]
struct Word<'t> {
    text: &'t str,
    column: usize,
}

impl Judge<'_> {
    /// All ids of a text, in order. `holds_ids`: numbers in it are ids.
    pub(super) fn mentions(&self, text: &str, holds_ids: bool) -> Vec<Mention> {
        let is_about_act =
            text.contains("AI Act") || text.contains("2024/1689") || self.scheme.scheme() == ACT;
        let mut behind = Behind::Nothing;
        let mut found = Vec::new();
        let words: Vec<Word<'_>> = words(text).collect();
        for (index, word) in words.iter().enumerate() {
            let next = words.get(index + 1).map(|next| next.text);
            if let Some(keyword) = keyword(word.text, is_about_act) {
                behind = keyword;
                continue;
            }
            let other_law = behind == Behind::Article && next.is_some_and(is_other_law);
            let count = found.len();
            if !other_law {
                found.extend(self.word(word, behind, holds_ids));
            }
            if found.len() == count && !is_connector(word.text) {
                behind = Behind::Nothing;
            }
        }
        found
    }

    /// The ids of one word: one, or several with `/` or `-` between them.
    fn word(&self, word: &Word<'_>, behind: Behind, holds_ids: bool) -> Vec<Mention> {
        if let Some((scheme, id)) = word.text.split_once('/')
            && let Some(mention) = self.qualified(word, scheme, id)
        {
            return vec![mention];
        }
        if behind == Behind::Article {
            let article = is_article(word.text).then(|| self.article(word));
            return article.into_iter().collect();
        }
        let is_id = |part: &str| {
            is_lettered(part) || is_own(part) || {
                let is_clause = behind == Behind::Clause || holds_ids;
                is_clause && is_numbered(part) || self.is_domain(part, is_clause)
            }
        };
        let mut column = word.column;
        let mut parts = Vec::new();
        for text in word.text.split(['/', '-', '\u{2013}']) {
            parts.push(Word { text, column });
            column += text.chars().count() + 1;
        }
        // An own id may have a hyphen; what is only partly an id is none.
        if is_own(word.text) {
            return vec![self.bare(word)];
        }
        if !parts.iter().all(|part| is_id(part.text)) {
            return Vec::new();
        }
        parts.iter().map(|part| self.bare(part)).collect()
    }

    /// `scheme/id`; nothing where the first part is no scheme and none was meant.
    fn qualified(&self, word: &Word<'_>, scheme: &str, id: &str) -> Option<Mention> {
        if self.schemes.scheme(scheme).is_some() {
            return Some(self.judged(word, scheme, id));
        }
        let looks_so = is_lettered(id) || is_own(id) || is_numbered(id);
        let refused = self.schemes.unknown("scheme", scheme);
        let near = refused.nearest.filter(|_| looks_so)?;
        let says = format!("there is no scheme {scheme}; nearest: {near}");
        let mut mention = Mention::new(word, Status::Unknown, says);
        mention.nearest = vec![format!("{near}/{id}")];
        Some(mention)
    }

    /// An id without a scheme.
    fn bare(&self, word: &Word<'_>) -> Mention {
        let scheme = if is_own(word.text) {
            "org"
        } else {
            self.scheme.scheme()
        };
        self.judged(word, scheme, word.text)
    }

    fn article(&self, word: &Word<'_>) -> Mention {
        let id = format!("Art.{}", word.text);
        let act = self.schemes.catalogue(ACT);
        let spelled = act.map(|act| act.spelled(&id)).unwrap_or_default();
        match spelled.as_slice() {
            [article] => is_there(word, ACT, article),
            _ => self.judged(word, ACT, &id),
        }
    }

    /// What an id of this scheme is.
    fn judged(&self, word: &Word<'_>, scheme: &str, id: &str) -> Mention {
        match self.schemes.resolve("id", ControlClaim { scheme, id }) {
            Ok(Resolved::Real(Some(control))) => is_there(word, scheme, control),
            Ok(Resolved::Real(None)) => {
                let says = format!("{scheme}/{id}, of a scheme without a catalogue here");
                Mention::new(word, Status::Ok, says)
            }
            Ok(Resolved::Alias(control)) => stands_for(word, Status::Alias, (scheme, control)),
            Err(refused) => self
                .of_two(word, scheme, id)
                .or_else(|| self.of_another(word, scheme, id))
                .unwrap_or_else(|| self.unknown(word, (scheme, id), refused.nearest)),
        }
    }

    /// A number that a scheme uses twice.
    fn of_two(&self, word: &Word<'_>, scheme: &str, id: &str) -> Option<Mention> {
        let both = self.schemes.catalogue(scheme)?.spelled(id);
        if both.len() < 2 {
            return None;
        }
        let names = both.iter().map(|one| format!("{scheme}/{}", one.id));
        let names: Vec<String> = names.collect();
        let titles: Vec<&str> = both.iter().map(|one| one.title.as_str()).collect();
        let says = format!(
            "the number of two things: {} ({})",
            names.join(" or "),
            titles.join(", ")
        );
        let mut mention = Mention::new(word, Status::Unknown, says);
        mention.nearest = names;
        Some(mention)
    }

    /// An id that another scheme has.
    fn of_another(&self, word: &Word<'_>, scheme: &str, id: &str) -> Option<Mention> {
        let here = self.schemes.catalogue(scheme)?;
        let mut others = self.schemes.written_elsewhere(here, id).into_iter();
        let is_alias = |scheme: &str| {
            let catalogue = self.schemes.catalogue(scheme);
            catalogue.is_some_and(|one| one.parts().aliases)
        };
        // "9.1" is no article, however articles may be written.
        let other = others.find(|other| other.control.id == id || is_alias(other.scheme))?;
        if is_alias(other.scheme) {
            return Some(stands_for(
                word,
                Status::WrongScheme,
                (other.scheme, other.control),
            ));
        }
        let real = format!("{}/{id}", other.scheme);
        let says = format!("not of {scheme}; it is {real} ({})", other.control.title);
        let mut mention = Mention::new(word, Status::WrongScheme, says);
        mention.real = vec![real];
        Some(mention)
    }

    fn unknown(
        &self,
        word: &Word<'_>,
        (scheme, id): (&str, &str),
        nearest: Option<String>,
    ) -> Mention {
        let mut near: Vec<String> = Vec::new();
        if let Some(catalogue) = self.schemes.catalogue(scheme) {
            let ids = catalogue.near(id).into_iter();
            near.extend(ids.map(|control| format!("{scheme}/{}", control.id)));
        }
        if near.is_empty() {
            near.extend(nearest);
        }
        let says = if near.is_empty() {
            format!("{scheme} has no such id, and none near it")
        } else {
            format!("{scheme} has no such id; nearest: {}", near.join(", "))
        };
        let mut mention = Mention::new(word, Status::Unknown, says);
        mention.nearest = near;
        mention
    }

    /// Whether it is a bare number of a domain, in a scheme that has such.
    fn is_domain(&self, part: &str, is_clause: bool) -> bool {
        let is_number = part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_clause && is_number && self.scheme.parts().aliases && !part.is_empty()
    }
}

fn is_there(word: &Word<'_>, scheme: &str, control: &Control) -> Mention {
    let mut mention = Mention::new(word, Status::Ok, control.title.clone());
    mention.real = vec![format!("{scheme}/{}", control.id)];
    mention
}

fn stands_for(word: &Word<'_>, status: Status, (scheme, control): (&str, &Control)) -> Mention {
    let real = control.stands_for();
    let says = format!(
        "{scheme}/{} ({}), which stands for {}",
        control.id,
        control.title,
        real.join(", ")
    );
    let mut mention = Mention::new(word, status, says);
    mention.real = real;
    mention
}

/// The words of a text with their places.
fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_gap = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ',' | ';' | '|' | '"' | '\'' | '`' | '[' | ']' | '*' | '='
            )
    };
    let mut column = 0;
    text.split(is_gap).map(move |piece| {
        let start = column;
        column += piece.chars().count() + 1;
        let front = piece.trim_start_matches(['(', '#', ':', '{', '<']);
        let skipped = piece.chars().count() - front.chars().count();
        // A bracket that was opened within the word belongs to it: 73(2).
        let ends: &[char] = if front.contains('(') {
            &['.', ':', '!', '?', '}', '>']
        } else {
            &['.', ':', '!', '?', '}', '>', ')']
        };
        Word {
            text: front.trim_end_matches(ends),
            column: start + skipped + 1,
        }
    })
}

fn keyword(word: &str, is_about_act: bool) -> Option<Behind> {
    match word.to_lowercase().as_str() {
        "clause" | "clauses" | "subclause" | "subclauses" | "sub-clause" | "sub-clauses"
        | "control" | "controls" | "requirement" | "requirements" | "criterion" | "criteria"
        | "domain" | "domains" | "42001" | "42001:2023" => Some(Behind::Clause),
        "art" | "article" | "articles" | "arts" if is_about_act => Some(Behind::Article),
        _ => None,
    }
}

/// Words between two ids of one list.
fn is_connector(word: &str) -> bool {
    matches!(
        word.to_lowercase().as_str(),
        "" | "and" | "or" | "to" | "&" | "/" | "-" | "\u{2013}" | "also" | "see"
    )
}

fn is_other_law(word: &str) -> bool {
    matches!(
        word,
        "GDPR" | "DSGVO" | "DSA" | "NIS2" | "DORA" | "CRA" | "ECHR" | "TFEU"
    )
}

/// One or two digits each, between dots, at most so many.
fn is_numbers(text: &str, parts_max: usize) -> bool {
    let mut count = 0;
    let is_number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let all = text.split('.').all(|part| {
        count += 1;
        is_number(part)
    });
    all && count <= parts_max
}

/// `A.9.2`: a letter of an annex and one to four numbers.
fn is_lettered(text: &str) -> bool {
    let Some((letter, numbers)) = text.split_once('.') else {
        return false;
    };
    matches!(letter, "A" | "B" | "C" | "D" | "E" | "F" | "G" | "H") && is_numbers(numbers, 4)
}

/// `9.1`, `6.1.2`.
fn is_numbered(text: &str) -> bool {
    text.contains('.') && is_numbers(text, 3)
}

/// `ORG.SEC.1`.
fn is_own(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ORG.") else {
        return false;
    };
    let is_plain = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    !rest.is_empty() && rest.bytes().all(is_plain)
}

/// `73`, `73(2)`, `26(11)`, `73.2`.
fn is_article(text: &str) -> bool {
    let inner = text.replace('(', ".").replace(')', "");
    let mut parts = inner.split('.');
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_point = |part: &str| is_number(part) || part.len() == 1;
    parts.next().is_some_and(is_number) && parts.all(is_point)
}
