//! A report in words, for people.

use std::fmt::{self, Write as _};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::report::{
    Code, FieldReport, Finding, HeldOutside, KeyNow, RecordReport, Report, SignerReport,
    TimeBracket, Weight,
};

/// Longest value of a field that is printed, in characters; `--json` gives all of it.
const VALUE_CHARS_MAX: usize = 400;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict.words())?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        if let Some(head) = &self.head {
            writeln!(
                f,
                "log {}, {} entries, root {}",
                head.origin, head.size, head.root
            )?;
            for cosigner in &head.cosigners {
                let place = if cosigner.outside { " (outside)" } else { "" };
                let time = time(cosigner.time);
                writeln!(f, "  cosigned by {}{place} at {time}", cosigner.name)?;
            }
        }
        if let Some(operators) = &self.operators {
            writeln!(
                f,
                "operators who must agree: {} (of {} at the founding)",
                operators.required, operators.of
            )?;
        }
        if let Some(entry) = &self.entry {
            writeln!(
                f,
                "entry {} at index {} of {}",
                entry.entry_id, entry.index, entry.size
            )?;
        }
        if self.records_total > 0 {
            let verified = self.records.len();
            writeln!(
                f,
                "records checked without error: {verified} of {}",
                self.records_total
            )?;
        }
        self.records
            .iter()
            .try_for_each(|record| write!(f, "\n{record}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.code.weight() {
            Weight::Limit => "limit",
            Weight::Missing => "missing",
            Weight::Failure => "wrong",
        };
        write!(f, "{weight} {}: {}", self.code, printable(&self.sentence))
    }
}

impl fmt::Display for Code {
    /// The stable text, as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (position, letter) in format!("{self:?}").char_indices() {
            if letter.is_ascii_uppercase() && position > 0 {
                text.push('_');
            }
            text.push(letter.to_ascii_uppercase());
        }
        f.write_str(&text)
    }
}

impl fmt::Display for RecordReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "record {} of kind {}", self.entry_id, self.kind)?;
        writeln!(f, "  about          {}", self.subject)?;
        writeln!(
            f,
            "  logged         at index {} of {}",
            self.index, self.size
        )?;
        writeln!(f, "  logged when    {}", self.time)?;
        if let Some(claim) = self.registered_at_ms_claim {
            writeln!(f, "                 the ledger says {}", time(claim / 1000))?;
        }
        if let Some(number) = self.register_number_claim {
            writeln!(f, "  register       number {number}, says the ledger")?;
        }
        writeln!(f, "  signed by      {}", self.signer)?;
        writeln!(
            f,
            "  signed when    {}, says the signer",
            time(self.signed_at_claim)
        )?;
        writeln!(
            f,
            "  fields shown   {} of {}",
            self.fields.len(),
            self.fields_total
        )?;
        self.fields
            .iter()
            .try_for_each(|field| writeln!(f, "    {field}"))?;
        writeln!(f, "  held outside   {}", self.held_outside)?;
        writeln!(f, "  does not show  {}", self.does_not_show.join("; "))
    }
}

impl fmt::Display for TimeBracket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not_later = self
            .not_later_than
            .map(|to| format!("not later than {}", time(to)));
        let after = self.after.map(|from| format!("after {}", time(from)));
        let bounds: Vec<String> = [after, not_later].into_iter().flatten().collect();
        if bounds.is_empty() {
            return f.write_str("no cosigned head bounds it");
        }
        f.write_str(&bounds.join(", "))
    }
}

impl fmt::Display for SignerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}, holder {}",
            self.principal, self.organization, self.holder
        )?;
        match self.roles.as_slice() {
            [] => f.write_str(", no role")?,
            roles => write!(f, ", as {}", roles.join(", "))?,
        }
        if let Some(principal) = &self.agent_for {
            write!(f, ", an AI agent that acts for {principal}")?;
        } else if let Some(principal) = &self.on_behalf_of {
            write!(f, ", on behalf of {principal}")?;
        }
        write!(
            f,
            "; key {}, registered at index {}",
            self.key, self.registered_at_index
        )?;
        write!(f, ", valid then; now {}", self.key_now)
    }
}

impl fmt::Display for KeyNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRetiredHere => f.write_str("not retired, as far as this file shows"),
            Self::Rotated { at_index } => write!(f, "replaced, by the entry at index {at_index}"),
            Self::Revoked { at_index, reason } => {
                write!(f, "revoked ({reason}), by the entry at index {at_index}")
            }
        }
    }
}

impl fmt::Display for FieldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            serde_json::Value::Null => "(absent)".to_owned(),
            value => value.to_string(),
        };
        write!(f, "{}: {}", self.name, shortened(&printable(&value)))
    }
}

impl fmt::Display for HeldOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("by nobody"),
            Self::Witness { name, since } => write!(f, "since {} by {name}", time(*since)),
            Self::SavedHead { since, size } => {
                write!(
                    f,
                    "since {} by you, who saved the head of {size} entries",
                    time(*since)
                )
            }
        }
    }
}

/// RFC 3339, or the number where no calendar has it.
pub(super) fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// Text that does not steer a terminal: control characters and marks of direction are escaped.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        // Direction marks would let a value show as another one.
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || hidden {
            let _infallible = write!(safe, "{}", letter.escape_unicode());
        } else {
            safe.push(letter);
        }
    }
    safe
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
