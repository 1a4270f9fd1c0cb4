//! Which formats of cells are dates, and the date that a number stands for in them.

use std::collections::BTreeMap;
use std::io::BufRead;

use time::macros::{date, format_description};
use time::{Date, Duration, PrimitiveDateTime, Time};

use super::xml::{Item, Xml, attribute};
use super::{SheetError, damaged};

/// Most formats of a workbook.
const FORMATS_MAX: usize = 100_000;
/// The day after 9999-12-31, where spreadsheets end.
const SERIAL_END: f64 = 2_958_466.0;
const SECONDS_OF_DAY: f64 = 86_400.0;

/// For each format of cells, in order, whether a number in it is a date.
pub(super) fn dates<R: BufRead>(mut xml: Xml<R>) -> Result<Vec<bool>, SheetError> {
    let mut custom: BTreeMap<String, bool> = BTreeMap::new();
    let mut dates = Vec::new();
    let mut is_in_cells = false;
    let mut depth = 0_usize;
    loop {
        match xml.next()? {
            Item::Open(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    // Below the root; the formats of named styles are others.
                    "cellXfs" => is_in_cells = true,
                    "numFmt" => {
                        let id = attribute(&tag, "numFmtId")?.unwrap_or_default();
                        let code = attribute(&tag, "formatCode")?.unwrap_or_default();
                        custom.insert(id, is_date(&code));
                    }
                    "xf" if is_in_cells => {
                        let id = attribute(&tag, "numFmtId")?.unwrap_or_default();
                        let known = custom.get(&id).copied();
                        dates.push(known.unwrap_or_else(|| is_built_in_date(&id)));
                    }
                    _ => {}
                }
            }
            Item::Close => {
                depth = depth.saturating_sub(1);
                is_in_cells &= depth > 1;
            }
            Item::Text(_) => {}
            Item::End => return Ok(dates),
        }
        if dates.len().max(custom.len()) > FORMATS_MAX {
            return Err(damaged(format!("more than {FORMATS_MAX} formats")));
        }
    }
}

/// The formats that every program knows by their numbers (ECMA-376, 18.8.30), those of East Asia
/// included.
fn is_built_in_date(id: &str) -> bool {
    matches!(id.parse(), Ok(14_u32..=22 | 27..=36 | 45 | 47 | 50..=58))
}

/// Whether a format shows a day or a time of day. A length of time, such as `[h]:mm`, is a number.
fn is_date(code: &str) -> bool {
    let mut letters = code.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // The first of its sections says it.
            ';' => return false,
            '\\' | '_' | '*' => {
                letters.next();
            }
            '"' => {
                letters.find(|letter| *letter == '"');
            }
            '[' => {
                let within: String = letters
                    .by_ref()
                    .take_while(|letter| *letter != ']')
                    .collect();
                let unit = within.to_ascii_lowercase();
                if matches!(unit.as_str(), "h" | "hh" | "m" | "mm" | "s" | "ss") {
                    return false;
                }
            }
            'd' | 'D' | 'm' | 'M' | 'h' | 'H' | 'y' | 'Y' | 's' | 'S' => return true,
            _ => {}
        }
    }
    false
}

/// Where a workbook begins to count days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epoch {
    /// 1 is 1900-01-01, and 60 a day that there was not.
    Of1900,
    /// 0 is 1904-01-01.
    Of1904,
}

impl Epoch {
    /// The time that a number stands for, to the second; nothing where it is none.
    pub(super) fn time(self, serial: f64) -> Option<String> {
        if !(0.0..SERIAL_END).contains(&serial) {
            return None;
        }
        let first = match self {
            Self::Of1904 => date!(1904 - 01 - 01),
            Self::Of1900 if serial < 60.0 => date!(1899 - 12 - 31),
            Self::Of1900 if serial < 61.0 => return None,
            Self::Of1900 => date!(1899 - 12 - 30),
        };
        let seconds = Duration::checked_seconds_f64((serial * SECONDS_OF_DAY).round())?;
        let at = first_second(first).checked_add(seconds)?;
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        at.format(form).ok()
    }
}

fn first_second(day: Date) -> PrimitiveDateTime {
    PrimitiveDateTime::new(day, Time::MIDNIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_dates_are_told_from_others() {
        for code in [
            "yyyy-mm-dd",
            "DD.MM.YYYY",
            "[$-409]h:mm AM/PM",
            "[Red]d/m;@",
            "mmss.0",
        ] {
            assert!(is_date(code), "{code}");
        }
        let open = "[".repeat(1000);
        for code in [
            "General",
            "0.00",
            "[h]:mm",
            "#,##0\\ \\d",
            "0 \"days\"",
            "0;yyyy",
            "@",
            "",
            &open,
            "0_d",
            "\"d",
        ] {
            assert!(!is_date(code), "{code}");
        }
        let part = br#"<styleSheet><numFmts><numFmt numFmtId="170" formatCode="dd.mm.yyyy"/></numFmts>
            <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
            <cellXfs><xf numFmtId="0"><alignment/></xf><xf numFmtId="14"/><xf numFmtId="170"/><xf numFmtId="46"/><xf/></cellXfs>
            <cellStyles><xf numFmtId="14"/></cellStyles></styleSheet>"#;
        let found = dates(Xml::new(&part[..])).unwrap();
        assert_eq!(found, [false, true, true, false, false]);
    }

    #[test]
    fn numbers_stand_for_days_in_both_epochs() {
        for (serial, expected) in [
            (0.0, Some("1899-12-31T00:00:00")),
            (59.0, Some("1900-02-28T00:00:00")),
            (60.0, None),
            (61.0, Some("1900-03-01T00:00:00")),
            (46328.34375, Some("2026-11-02T08:15:00")),
            (46_328.999_999_9, Some("2026-11-03T00:00:00")),
            (2_958_465.5, Some("9999-12-31T12:00:00")),
            (2_958_466.0, None),
            (-1.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Epoch::Of1900.time(serial).as_deref(), expected, "{serial}");
        }
        let later = Epoch::Of1904.time(44866.0);
        assert_eq!(later.as_deref(), Some("2026-11-02T00:00:00"));
    }
}
