//! What can be asked, and what an answer is: definitions as plain, checked data, and counts that add up to reports. It cannot
//! name a segment of the store: how anything is stored or executed is not its business.

mod audience;
mod basis;
mod by;
pub mod channel;
mod cohort;
mod condition;
mod durations;
mod experiment;
mod funnel;
mod json;
mod lifecycle;
mod lifetime;
mod nearest;
mod order;
pub mod params;
mod paths;
mod pattern;
mod people;
mod period;
mod revenue;
mod saved;
mod segment;
mod statistics;
mod tally;
mod trend;

pub use audience::{Audience, Did, Outcome};
pub use basis::{Basis, Definition, Receipt};
pub use by::{Allowed, By};
pub use cohort::{
    Bucket, Cohort, CohortCell, CohortPeople, CohortReport, CohortRow, CohortTally, InCohort, Measure,
    NamedCohort,
};
pub use condition::{PropertyCondition, Test};
pub use durations::{Bar, Classes, Durations, HISTOGRAM_SECONDS, Seconds};
pub use experiment::{Experiment, Variant};
pub use funnel::{Exclude, Funnel, FunnelOutcome, FunnelPeople};
pub use json::{Fields, Node};
pub use lifecycle::{Lifecycle, LifecyclePeople, LifecyclePoint, LifecycleReport, Stage, Stages};
pub use lifetime::{
    Lifetime, LifetimePoint, LifetimeReport, LifetimeTally, Lost, Movement, PERIOD_DEFAULT,
    Period as LifetimePeriod, Recurring, Standing,
};
pub use nearest::nearest;
pub use order::Order;
pub use paths::{ChosenPath, Path, PathEvent, PathSeconds, Paths, PathsPeople, PathsReport};
pub use pattern::{Events, Pattern};
pub use people::{Column, People};
pub use period::{Period, ProjectTime, Units};
pub use revenue::{
    Amounts, Part as RevenuePart, Payers, Point, Revenue, RevenuePeople, RevenueReport, by_total,
};
pub use saved::{Saved, SavedReport, Terms};
pub use segment::{Chosen, Label, Segment, Tally, shown};
pub use statistics::Rate;
pub use tally::{FunnelReport, FunnelTally, Part, StepReport, Warning, share};
pub use trend::{
    Measured, PointValue, Points, Series, SeriesReport, SeriesTally, Trend, TrendPeople, TrendPoint,
    TrendReport, UnitTally, unit_that_begins,
};
