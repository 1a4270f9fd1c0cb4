//! The form of a catalogue: what its parts must be, and the one text of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{CatalogueError, Control, Parts, Relation, is_own_id};
use crate::limits::{
    CATALOGUE_CONTROLS_MAX, CATALOGUE_LIST_MAX, CATALOGUE_TITLE_BYTES_MAX, KIND_VERSION_MAX,
    WORD_BYTES_MAX,
};
use crate::statement::header::{is_kind, is_word};

/// See [`Catalogue::canonical_text`](super::Catalogue::canonical_text).
pub(super) fn canonical_text(parts: &Parts) -> String {
    let mut text = String::from("aimslog-catalogue/v1\n");
    // Writing to a string cannot fail.
    let _infallible = write_canonical(&mut text, parts);
    text
}

fn write_canonical(text: &mut String, parts: &Parts) -> std::fmt::Result {
    writeln!(text, "scheme {}", parts.scheme)?;
    writeln!(text, "version {}", parts.version)?;
    writeln!(text, "title {}", parts.title)?;
    if let Some(edition) = &parts.text {
        writeln!(text, "text {edition}")?;
    }
    if parts.aliases {
        writeln!(text, "aliases")?;
    }
    for date in &parts.dates {
        writeln!(text, "date {} {} {}", date.id, date.from, date.title)?;
    }
    for event in &parts.events {
        writeln!(text, "event {} {}", event.id, event.title)?;
        if let Some(field) = &event.field {
            writeln!(text, "field {field}")?;
        }
    }
    for control in &parts.controls {
        write_control(text, control)?;
    }
    Ok(())
}

fn write_control(text: &mut String, control: &Control) -> std::fmt::Result {
    writeln!(text, "control {} {}", control.id, control.title)?;
    for kind in &control.kinds {
        writeln!(text, "kind {kind}")?;
    }
    for Relation {
        relation,
        scheme,
        id,
    } in &control.relates
    {
        writeln!(text, "relates {} {scheme}/{id}", relation.name())?;
    }
    for spelling in &control.also {
        writeln!(text, "also {spelling}")?;
    }
    for (name, line) in [("note", &control.note), ("duty", &control.duty)] {
        if let Some(line) = line {
            writeln!(text, "{name} {line}")?;
        }
    }
    for clock in &control.clocks {
        for (name, period) in [("at_most", clock.at_most), ("at_least", clock.at_least)] {
            if let Some(period) = period {
                writeln!(text, "clock {name} {period} {}", clock.from)?;
            }
        }
    }
    for date in &control.applies {
        writeln!(text, "applies {date}")?;
    }
    Ok(())
}

/// The first thing that is wrong with these parts.
pub(super) fn check(parts: &Parts) -> Result<(), CatalogueError> {
    check_head(parts)?;
    let mut ids = BTreeSet::new();
    for control in &parts.controls {
        check_control(parts, control)?;
        let is_new = ids.insert(control.id.as_str());
        require(is_new, &control.id, "an id stands once", &control.id)?;
    }
    let mut spellings = parts.controls.iter().flat_map(|control| &control.also);
    let twice = spellings.find(|spelling| ids.contains(spelling.as_str()));
    match twice {
        Some(spelling) => require(false, "also", "a spelling is no id of a control", spelling),
        None => Ok(()),
    }
}

fn check_head(parts: &Parts) -> Result<(), CatalogueError> {
    require(is_word(&parts.scheme), "scheme", WORD, &parts.scheme)?;
    let is_version = (1..=KIND_VERSION_MAX).contains(&parts.version);
    require(is_version, "version", "1 to 65535", parts.version)?;
    require(is_line(&parts.title), "title", LINE, &parts.title)?;
    if let Some(text) = &parts.text {
        require(is_line(text), "text", LINE, text)?;
    }
    let count = parts.controls.len();
    let is_count = (1..=CATALOGUE_CONTROLS_MAX).contains(&count);
    require(is_count, "control", "1 to 1000 controls", count)?;
    for date in &parts.dates {
        require(is_word(&date.id), "date.id", WORD, &date.id)?;
        require(is_line(&date.title), &date.id, LINE, &date.title)?;
        require(
            is_day(&date.from),
            &date.id,
            "a day, 2027-12-02",
            &date.from,
        )?;
    }
    for event in &parts.events {
        require(is_word(&event.id), "event.id", WORD, &event.id)?;
        require(is_line(&event.title), &event.id, LINE, &event.title)?;
        if let Some(field) = &event.field {
            let is_field = field
                .split_once('.')
                .is_some_and(|(kind, field)| is_kind(kind) && is_kind(field));
            require(is_field, &event.id, "kind.field", field)?;
        }
    }
    Ok(())
}

fn check_control(parts: &Parts, control: &Control) -> Result<(), CatalogueError> {
    require(is_own_id(&control.id), "control.id", OWN_ID, &control.id)?;
    let place = control.id.as_str();
    require(is_line(&control.title), place, LINE, &control.title)?;
    for line in [&control.note, &control.duty].into_iter().flatten() {
        require(is_line(line), place, LINE, line)?;
    }
    for count in [
        control.kinds.len(),
        control.relates.len(),
        control.also.len(),
        control.clocks.len(),
        control.applies.len(),
    ] {
        require(
            count <= CATALOGUE_LIST_MAX,
            place,
            "32 of each at most",
            count,
        )?;
    }
    for spelling in &control.also {
        let is_short = is_line(spelling) && spelling.len() <= WORD_BYTES_MAX;
        require(is_short, place, "a spelling of at most 64 bytes", spelling)?;
    }
    for kind in &control.kinds {
        require(is_kind(kind), place, "the name of a kind", kind)?;
    }
    for (number, relation) in control.relates.iter().enumerate() {
        let is_control = is_word(&relation.scheme) && is_own_id(&relation.id);
        require(is_control, place, "a control is scheme/id", &relation.id)?;
        let is_other = relation.scheme != parts.scheme;
        require(is_other, place, "a control of another scheme", &relation.id)?;
        let mut earlier = control.relates.iter().take(number);
        let is_new = earlier.all(|one| (&one.scheme, &one.id) != (&relation.scheme, &relation.id));
        require(is_new, place, "a relation stands once", &relation.id)?;
    }
    let is_alias = !parts.aliases || !control.relates.is_empty();
    require(is_alias, place, "an alias stands for a control", "none")?;
    for clock in &control.clocks {
        let is_one = clock.at_most.is_some() != clock.at_least.is_some();
        require(is_one, place, "at_most or at_least", &clock.from)?;
        let is_known = parts.events.iter().any(|event| event.id == clock.from);
        require(is_known, place, "an event of the catalogue", &clock.from)?;
    }
    for date in &control.applies {
        let is_known = parts.dates.iter().any(|one| one.id == *date);
        require(is_known, place, "a date of the catalogue", date)?;
    }
    Ok(())
}

const WORD: &str = "`[a-z0-9][a-z0-9._-]{0,63}`";
const LINE: &str = "1 to 200 bytes on one line, without space at the ends";
const OWN_ID: &str = "a letter or digit and up to 62 of letters, digits, `.`, `_`, `-`";

fn require(
    is_right: bool,
    place: &str,
    rule: &'static str,
    found: impl std::fmt::Display,
) -> Result<(), CatalogueError> {
    if is_right {
        return Ok(());
    }
    Err(CatalogueError::Value {
        place: place.to_owned(),
        rule,
        found: found.to_string(),
    })
}

fn is_line(text: &str) -> bool {
    (1..=CATALOGUE_TITLE_BYTES_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

fn is_day(text: &str) -> bool {
    let form = time::macros::format_description!("[year]-[month]-[day]");
    text.len() == 10 && time::Date::parse(text, form).is_ok()
}
