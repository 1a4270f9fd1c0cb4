//! The nearest valid value to a wrong one, for messages to people.

/// The candidate with the smallest edit distance to `found`, letter case ignored, if it is near
/// enough to be a likely slip: at most a third of the longer text, or one edit, or what completes a
/// beginning of at least three characters. Among equals the first wins.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    by_distance(found, candidates)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The candidates that are near enough, the nearest first, at most so many.
pub fn nearest_few<'a>(
    found: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    count_max: usize,
) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = by_distance(found, candidates).collect();
    near.sort_by_key(|(distance, _)| *distance);
    let near = near.into_iter().map(|(_, candidate)| candidate);
    near.take(count_max).collect()
}

/// The candidates that are near enough, each with its distance.
fn by_distance<'a>(
    found: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = (usize, &'a str)> {
    /// Longer input is not a slip of the pen, and the distance costs the product of the lengths.
    const CHARS_MAX: usize = 100;
    let found: Vec<char> = found.to_lowercase().chars().take(CHARS_MAX + 1).collect();
    let is_slip = found.len() <= CHARS_MAX;
    let candidates = candidates.into_iter().filter(move |_| is_slip);
    candidates.filter_map(move |candidate| {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        let distance = distance(&found, &other);
        let allowed = (found.len().max(other.len()) / 3).max(1);
        (distance <= allowed || found.len() >= 3 && other.starts_with(&found))
            .then_some((distance, candidate))
    })
}

/// Levenshtein distance: insertions, deletions and replacements, row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_known_pairs() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            assert_eq!(distance(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn names_a_likely_slip_and_nothing_far_off() {
        let names = ["OVERRIDE", "REJECT", "STOP"];
        assert_eq!(nearest("OVERIDE", names), Some("OVERRIDE"));
        assert_eq!(nearest("stop", names), Some("STOP"));
        assert_eq!(nearest("BANANA", names), None);
        assert_eq!(nearest(&"X".repeat(5000), names), None);
    }

    #[test]
    fn several_slips_are_named_with_the_nearest_first() {
        let names = ["audit_plan", "audit", "risk", "audit_programme"];
        assert_eq!(nearest_few("audi", names, 2), ["audit", "audit_plan"]);
        assert_eq!(nearest_few("banana", names, 2), [""; 0]);
    }
}
