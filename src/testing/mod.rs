//! What tests share: the oracle, which says what every answer must be, random histories to ask it about, and a disk in memory
//! that loses power. Nothing here is fast and nothing of the engine is used, so that the two can only agree by both being right.

pub mod disk;
pub mod oracle;
mod oracle_audience;
mod oracle_cohort;
mod oracle_funnel;
mod oracle_lifetime;
mod oracle_match;
mod oracle_paths;
mod oracle_people;
mod oracle_query;
mod oracle_revenue;
mod oracle_trend;
mod oracle_units;
pub mod random;
pub mod random_cohort;
pub mod random_paths;
pub mod random_revenue;
pub mod random_trend;
