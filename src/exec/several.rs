//! Who has had more than one value of a person property.

use std::sync::Arc;

use super::cell::Cell;
use super::person_values::{NOT_SET, ValueTable};
use super::scope::Scope;
use super::source::ColumnReader;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId, PropertyId};

/// Looks at all that was ever set of one property.
pub struct Several<'a> {
    property: PropertyId,
    cell: Arc<Cell>,
    column: ColumnReader<'a>,
    table: ValueTable,
    as_of: Millis,
}

impl<'a> Several<'a> {
    /// Over the persons of `scope`, as of `as_of`.
    pub fn new(property: PropertyId, scope: &Scope<'a>, as_of: Millis) -> Result<Self> {
        let column = scope.source().column(NameId::SET, property);
        Ok(Self { property, cell: scope.cell(NameId::SET)?, column, table: ValueTable::default(), as_of })
    }

    /// Whether the person has had several values.
    pub fn has(&mut self, person: PersonId) -> Result<bool> {
        let Some(rank) = self.cell.rank_of(person) else { return Ok(false) };
        let mut known = NOT_SET;
        for row in self.cell.rows(rank) {
            if self.cell.times.get(row).is_none_or(|t| *t > self.as_of) {
                break;
            }
            let found = self.column.get(self.cell.row_ref(row))?;
            let number = self.table.number_of(self.property, &self.column, found)?;
            if number != NOT_SET {
                if known != NOT_SET && known != number {
                    return Ok(true);
                }
                known = number;
            }
        }
        Ok(false)
    }
}
