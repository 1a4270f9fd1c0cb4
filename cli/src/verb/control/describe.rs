//! Controls as `control` prints them: one shape for programs, and words for people.

use std::fmt::Write as _;

use aimslog_proto::aims::catalog::{
    Answer, Catalogue, Clock, Control, Near, Period, Related, Unit,
};
use serde::Serialize;

/// A control with all that its catalogue says of it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    scheme: String,
    id: String,
    title: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duty: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clocks: Vec<ShownClock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applies: Vec<ShownDate>,
    /// Kinds of records that evidence it.
    kinds: Vec<String>,
    /// What it relates to; of an alias: what it stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relates: Vec<Other>,
    /// What relates to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_by: Vec<Other>,
    #[serde(skip)]
    stands_for_others: bool,
}

#[derive(Debug, Serialize)]
struct ShownClock {
    /// `at_most` or `at_least`.
    bound: &'static str,
    /// As in ISO 8601; `P0D` is at once.
    period: String,
    from: String,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    words: String,
}

#[derive(Debug, Serialize)]
struct ShownDate {
    from: String,
    what: String,
}

/// The other end of a relation.
#[derive(Debug, Serialize)]
struct Other {
    relation: &'static str,
    control: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
}

/// A control that may have been meant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Candidate {
    /// As `scheme/id`.
    pub(super) control: String,
    /// Its title.
    pub(super) title: String,
    /// The controls that it stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stands_for: Vec<String>,
}

impl Shown {
    pub(super) fn of(answer: &Answer<'_>) -> Self {
        let relates = answer.relates.iter().map(Other::of).collect();
        let related_by = answer.related_by.iter().map(Other::of).collect();
        Self {
            relates,
            related_by,
            ..Self::alone(answer.catalogue, answer.control)
        }
    }

    /// Without relations.
    pub(super) fn alone(catalogue: &Catalogue, control: &Control) -> Self {
        let dates = catalogue.parts().dates.iter();
        let dates = dates.filter(|date| control.applies.contains(&date.id));
        Self {
            scheme: catalogue.scheme().to_owned(),
            id: control.id.clone(),
            title: control.title.clone(),
            also: control.also.clone(),
            note: control.note.clone(),
            duty: control.duty.clone(),
            clocks: control
                .clocks
                .iter()
                .filter_map(|clock| ShownClock::of(catalogue, clock))
                .collect(),
            applies: dates
                .map(|date| ShownDate {
                    from: date.from.clone(),
                    what: date.title.clone(),
                })
                .collect(),
            kinds: control.kinds.clone(),
            relates: Vec::new(),
            related_by: Vec::new(),
            stands_for_others: catalogue.parts().aliases,
        }
    }

    /// On one line.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{:<10} {}", self.id, self.title);
        if !self.kinds.is_empty() {
            line = format!("{line}: {}", self.kinds.join(", "));
        }
        line
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}/{}  {}", self.scheme, self.id, self.title)?;
        if let Some(duty) = &self.duty {
            writeln!(text, "  duty           {duty}")?;
        }
        if let Some(note) = &self.note {
            writeln!(text, "  note           {note}")?;
        }
        for clock in &self.clocks {
            writeln!(text, "  clock          {}", clock.words)?;
        }
        for ShownDate { from, what } in &self.applies {
            writeln!(text, "  applies from   {from}  {what}")?;
        }
        if !self.kinds.is_empty() {
            writeln!(text, "  evidenced by   {}", self.kinds.join(", "))?;
        }
        if !self.relates.is_empty() {
            let heading = if self.stands_for_others {
                "stands for"
            } else {
                "relates to"
            };
            writeln!(text, "  {heading}")?;
            write_others(text, &self.relates)?;
        }
        if !self.related_by.is_empty() {
            writeln!(text, "  related ids of other schemes")?;
            write_others(text, &self.related_by)?;
        }
        Ok(())
    }
}

fn write_others(text: &mut String, others: &[Other]) -> std::fmt::Result {
    for other in others {
        let title = other.title.as_deref().unwrap_or("not known here");
        let (relation, control) = (other.relation, &other.control);
        write!(text, "    {relation:<12} {control:<24} {title}")?;
        if !other.kinds.is_empty() {
            write!(text, ": {}", other.kinds.join(", "))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

impl Other {
    fn of(related: &Related<'_>) -> Self {
        let control = related.control;
        Self {
            relation: related.relation.name(),
            control: format!("{}/{}", related.scheme, related.id),
            title: control.map(|control| control.title.clone()),
            kinds: control.map_or_else(Vec::new, |control| control.kinds.clone()),
        }
    }
}

impl ShownClock {
    fn of(catalogue: &Catalogue, clock: &Clock) -> Option<Self> {
        let (bound, period) = match (clock.at_most, clock.at_least) {
            (Some(period), _) => ("at_most", period),
            (None, Some(period)) => ("at_least", period),
            (None, None) => return None,
        };
        let mut events = catalogue.parts().events.iter();
        let event = events.find(|event| event.id == clock.from)?;
        let words = match (bound, period.count) {
            ("at_most", 0) => format!("at once when {}", event.title),
            (bound, _) => {
                let bound = bound.replace('_', " ");
                format!("{bound} {} after {}", in_words(period), event.title)
            }
        };
        Some(Self {
            bound,
            period: period.to_string(),
            from: event.id.clone(),
            event: event.title.clone(),
            field: event.field.clone(),
            words,
        })
    }
}

fn in_words(period: Period) -> String {
    let unit = match period.unit {
        Unit::Day => "day",
        Unit::Month => "month",
        Unit::Year => "year",
    };
    crate::describe::counted(usize::try_from(period.count).unwrap_or(usize::MAX), unit)
}

impl Candidate {
    pub(super) fn of(near: &Near<'_>) -> Self {
        Self {
            control: format!("{}/{}", near.scheme, near.control.id),
            title: near.control.title.clone(),
            stands_for: Vec::new(),
        }
    }

    /// With what it stands for, where its scheme is one of aliases.
    pub(super) fn with_meaning(near: &Near<'_>, is_alias: bool) -> Self {
        let stands_for = if is_alias {
            near.control.stands_for()
        } else {
            Vec::new()
        };
        Self {
            stands_for,
            ..Self::of(near)
        }
    }

    pub(super) fn words(&self) -> String {
        let mut words = format!("{} {}", self.control, self.title);
        if !self.stands_for.is_empty() {
            words = format!("{words}, which stands for {}", self.stands_for.join(", "));
        }
        words
    }
}
