//! What can be asked, and what an answer is: definitions as plain, checked data, and counts that add up to reports. It cannot
//! name a segment of the store: how anything is stored or executed is not its business.

mod audience;
mod condition;
mod funnel;
mod json;
mod nearest;
mod order;
mod period;
mod tally;

pub use audience::{Audience, Did};
pub use condition::{PropertyCondition, Test};
pub use funnel::{By, Exclude, Funnel, FunnelOutcome, FunnelPeople, Step};
pub use json::Node;
pub use nearest::nearest;
pub use order::Order;
pub use period::Period;
pub use tally::{Events, FunnelReport, FunnelTally, Part, Segment, StepReport, Warning};
