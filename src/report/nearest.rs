//! The nearest of some names to one that does not exist, for hints.

/// The nearest of `names` to `wanted`: the same but for case, or a few letters apart. Of equally near ones the first.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower: Vec<char> = wanted.to_lowercase().chars().take(64).collect();
    let allowed = 1 + lower.len() / 4;
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let other: Vec<char> = name.to_lowercase().chars().take(64).collect();
        if lower.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let distance = distance(&lower, &other);
        if distance <= allowed && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The edit distance of Levenshtein, row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0);
            let best = (corner + usize::from(x != y)).min(above + 1).min(left + 1);
            corner = above;
            if let Some(slot) = row.get_mut(j) {
                *slot = left;
            }
            left = best;
        }
        if let Some(slot) = row.last_mut() {
            *slot = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let names = ["event", "where", "starts_with", "Signed Up"];
        let near = |w| nearest(w, names.into_iter());
        assert_eq!(
            (near("evnet"), near("start_with"), near("signed up")),
            (Some("event"), Some("starts_with"), Some("Signed Up"))
        );
        assert_eq!(near("revenue"), None);
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!((distance(&chars("kitten"), &chars("sitting")), distance(&[], &chars("abc"))), (3, 3));
    }
}
