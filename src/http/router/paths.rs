//! How paths are read: which project they name, and which pattern they match.

/// The project that a path names, and the rest of it: `/p/2/funnels` is `/funnels` of the second.
pub fn split(path: &str) -> (Option<u32>, &str) {
    let named = path.strip_prefix("/p/").and_then(|rest| {
        let (number, _) = rest.split_once('/')?;
        let id: u32 = number.parse().ok().filter(|id: &u32| id.to_string() == number)?;
        Some((Some(id), rest.get(number.len()..)?))
    });
    named.unwrap_or((None, path))
}

/// Matches segment by segment, before decoding, so that an encoded slash stays inside its segment. Gives the raw
/// text of the variable part, without what the pattern has behind it in the same segment.
pub(super) fn captured<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let mut variable = "";
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((_, behind)) => {
                variable = segment.strip_suffix(behind).filter(|part| !part.is_empty())?;
            }
            None if expected == segment => {}
            None => return None,
        }
    }
    if segments.next().is_some() { None } else { Some(variable) }
}
