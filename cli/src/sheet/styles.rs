//! How formats of cells show numbers, and the date that a number stands for in some of them.

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

/// How a format shows a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As a number, with or without a unit behind it.
    Plain,
    /// As a day.
    Day,
    /// As a time of day, with a day or without.
    Moment,
    /// A hundred times as large, with `%`.
    Percent,
    /// With zeros in front, up to so many digits: `00042`.
    Padded(usize),
    /// With zeros or words in front, such as `NC-042`: what it shows is not worked out here.
    Other,
}

/// The formats of cells, in order.
pub(super) fn formats<R: BufRead>(mut xml: Xml<R>) -> Result<Vec<Format>, SheetError> {
    let mut custom: BTreeMap<String, Format> = BTreeMap::new();
    let mut formats = Vec::new();
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
                        custom.insert(id, format_of(&code));
                    }
                    "xf" if is_in_cells => {
                        let id = attribute(&tag, "numFmtId")?.unwrap_or_default();
                        let known = custom.get(&id).copied();
                        formats.push(known.unwrap_or_else(|| built_in(&id)));
                    }
                    _ => {}
                }
            }
            Item::Close => {
                depth = depth.saturating_sub(1);
                is_in_cells &= depth > 1;
            }
            Item::Text(_) => {}
            Item::End => return Ok(formats),
        }
        if formats.len().max(custom.len()) > FORMATS_MAX {
            return Err(damaged(format!("more than {FORMATS_MAX} formats")));
        }
    }
}

/// The formats that every program knows by their numbers (ECMA-376, 18.8.30), those of East Asia
/// included.
fn built_in(id: &str) -> Format {
    match id.parse() {
        Ok(9_u32 | 10) => Format::Percent,
        Ok(18..=22 | 32 | 33 | 45 | 47 | 55 | 56) => Format::Moment,
        Ok(14..=17 | 27..=31 | 34..=36 | 50..=54 | 57 | 58) => Format::Day,
        _ => Format::Plain,
    }
}

/// What a code such as `dd.mm.yyyy` shows. A length of time, such as `[h]:mm`, is a number.
fn format_of(code: &str) -> Format {
    let mut letters = code.chars();
    let (mut is_day, mut is_time, mut is_percent) = (false, false, false);
    let (mut has_digits, mut has_fraction, mut zeros) = (false, false, 0);
    let mut has_words_in_front = false;
    while let Some(letter) = letters.next() {
        match letter {
            // The first of its sections says it.
            ';' => break,
            '_' | '*' => {
                letters.next();
            }
            '\\' => {
                let word = letters.next().is_some_and(char::is_alphanumeric);
                has_words_in_front |= word && !has_digits;
            }
            '"' => {
                let words: String = letters
                    .by_ref()
                    .take_while(|letter| *letter != '"')
                    .collect();
                has_words_in_front |= words.contains(char::is_alphanumeric) && !has_digits;
            }
            '[' => {
                let within: String = letters
                    .by_ref()
                    .take_while(|letter| *letter != ']')
                    .collect();
                let unit = within.to_ascii_lowercase();
                if matches!(unit.as_str(), "h" | "hh" | "m" | "mm" | "s" | "ss") {
                    return Format::Plain;
                }
            }
            'd' | 'D' | 'm' | 'M' | 'y' | 'Y' => is_day = true,
            'h' | 'H' | 's' | 'S' => is_time = true,
            '%' => is_percent = true,
            '.' | 'E' | 'e' => has_fraction = true,
            '0' | '#' | '?' => {
                has_digits = true;
                zeros += usize::from(letter == '0' && !has_fraction);
            }
            _ => {}
        }
    }
    let is_zeros = code.bytes().all(|byte| byte == b'0');
    match (is_day, is_time) {
        (_, true) => Format::Moment,
        (true, false) => Format::Day,
        _ if is_percent => Format::Percent,
        _ if is_zeros && zeros > 1 => Format::Padded(zeros),
        _ if has_digits && (zeros > 1 || has_words_in_front) => Format::Other,
        _ => Format::Plain,
    }
}

/// A number as `%` shows it: `0.075` is `7.5%`. Digits are moved, so that none is rounded.
pub(super) fn percent(number: &str) -> String {
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = format!("{fraction:0<2}");
    let (up, rest) = fraction.split_at_checked(2).unwrap_or((&fraction, ""));
    let whole = format!("{whole}{up}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    match rest {
        "" => format!("{sign}{whole}%"),
        rest => format!("{sign}{whole}.{rest}%"),
    }
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
    /// The day that a number stands for, and the time to the second unless the format shows days alone
    /// and the number is one. Nothing where it is no day: below 1 it is a time of day without one.
    pub(super) fn time(self, serial: f64, format: Format) -> Option<String> {
        if !(1.0..SERIAL_END).contains(&serial) {
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
        if format == Format::Day && at.time() == Time::MIDNIGHT {
            return at
                .date()
                .format(format_description!("[year]-[month]-[day]"))
                .ok();
        }
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
    fn formats_are_told_apart() {
        let open = "[".repeat(1000);
        for (code, expected) in [
            ("yyyy-mm-dd", Format::Day),
            ("DD.MM.YYYY", Format::Day),
            ("[Red]d/m;@", Format::Day),
            ("[$-409]h:mm AM/PM", Format::Moment),
            ("dd.mm.yyyy hh:mm", Format::Moment),
            ("mmss.0", Format::Moment),
            ("General", Format::Plain),
            ("0.00", Format::Plain),
            ("0.00E+00", Format::Plain),
            ("[h]:mm", Format::Plain),
            ("#,##0\\ \\d", Format::Plain),
            ("0 \"days\"", Format::Plain),
            ("0;yyyy", Format::Plain),
            ("@", Format::Plain),
            ("", Format::Plain),
            (&open, Format::Plain),
            ("0_d", Format::Plain),
            ("\"d", Format::Plain),
            ("0%", Format::Percent),
            ("0.0 %", Format::Percent),
            ("0000", Format::Padded(4)),
            ("\"NC-\"0", Format::Other),
            ("\"NC-\"000", Format::Other),
            ("\\N\\C-0", Format::Other),
            ("00-00", Format::Other),
        ] {
            assert_eq!(format_of(code), expected, "{code}");
        }
        let part = br#"<styleSheet><numFmts><numFmt numFmtId="170" formatCode="dd.mm.yyyy"/></numFmts>
            <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
            <cellXfs><xf numFmtId="0"><alignment/></xf><xf numFmtId="14"/><xf numFmtId="170"/><xf numFmtId="46"/><xf/><xf numFmtId="9"/><xf numFmtId="22"/></cellXfs>
            <cellStyles><xf numFmtId="14"/></cellStyles></styleSheet>"#;
        let found = formats(Xml::new(&part[..])).unwrap();
        let (plain, day) = (Format::Plain, Format::Day);
        let last = [Format::Percent, Format::Moment];
        assert_eq!(found[..5], [plain, day, day, plain, plain]);
        assert_eq!(found[5..], last);
    }

    #[test]
    fn shares_are_moved_by_two_digits() {
        for (number, expected) in [
            ("0.45", "45%"),
            ("0.075", "7.5%"),
            ("1", "100%"),
            ("-0.5", "-50%"),
            ("0", "0%"),
            ("12.3456", "1234.56%"),
            ("0.001", "0.1%"),
        ] {
            assert_eq!(percent(number), expected);
        }
    }

    #[test]
    fn numbers_stand_for_days_in_both_epochs() {
        for (serial, expected) in [
            (0.0, None),
            (0.5, None),
            (1.0, Some("1900-01-01T00:00:00")),
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
            let found = Epoch::Of1900.time(serial, Format::Moment);
            assert_eq!(found.as_deref(), expected, "{serial}");
        }
        let day = Epoch::Of1900.time(46328.0, Format::Day);
        assert_eq!(day.as_deref(), Some("2026-11-02"));
        let hour = Epoch::Of1900.time(46328.34375, Format::Day);
        assert_eq!(hour.as_deref(), Some("2026-11-02T08:15:00"));
        let later = Epoch::Of1904.time(44866.0, Format::Moment);
        assert_eq!(later.as_deref(), Some("2026-11-02T00:00:00"));
    }
}
