//! In which order the steps of a funnel count. A file of its own, because the matcher needs nothing else of a
//! definition.

/// In which order the steps of a funnel must be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One after the other; other events between do not matter.
    #[default]
    Ordered,
    /// One after the other with no other event of the person between.
    Strict,
    /// In any order.
    Any,
}

impl Order {
    /// Its name in a definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Strict => "strict",
            Self::Any => "any",
        }
    }
}
