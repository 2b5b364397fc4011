//! What of a list fits into so many bytes.

/// The first of some items, as many as take no more than `most` bytes, each of which takes `len`.
pub fn within<T>(
    items: impl Iterator<Item = T>,
    most: usize,
    len: impl Fn(&T) -> usize,
) -> impl Iterator<Item = T> {
    let mut taken = 0;
    items.take_while(move |item| {
        taken += len(item);
        taken <= most
    })
}
