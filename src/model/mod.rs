//! The vocabulary: pure values that know nothing of files, threads or HTTP.

mod calendar;
mod correction;
mod depth;
mod ids;
mod json;
mod mend;
mod nobody;
mod old_text;
mod record;
mod sum;
mod time;
mod unit_table;
mod value;
mod within;

pub use calendar::{Calendar, Unit, WEEKDAYS};
pub use correction::{Correction, Line};
pub use depth::{few_values, json_depth};
pub use ids::{IdentityId, NameId, PersonId, PropertyId};
pub use json::Json;
#[cfg(test)]
pub(crate) use json::json_of;
pub use mend::mend_json;
pub use nobody::{Admission, Nobody};
pub use old_text::text_of_any;
pub use record::{Properties, Record, RecordKind, RecordRef, check_name, check_properties};
pub use sum::{Sum, overflow as sum_overflow};
pub use time::{
    Clock, Millis, SystemClock, Zone, duration_text, format_millis, parse_duration, parse_instant,
    parse_loose_instant,
};
pub use unit_table::UnitTable;
pub use value::{Number, Value, ValueRef, is_deceptive, json_text_len, thousands};
pub use within::within;
