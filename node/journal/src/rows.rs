//! Columns of rows, as far as they are what was written. Nothing here trusts the file.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use weft_core::JobId;

use crate::check::{Checker, RecordRow};

/// A row of the table of records with all its columns; none if it is not what was written under this id.
pub(crate) fn right_row<'a>(row: &'a Row<'_>, id: i64, checker: &Checker) -> Option<RecordRow<'a>> {
    let job = JobId(integer(row, 1)?.cast_unsigned());
    let found = RecordRow { id, job, kind: integer(row, 2)?, upto: integer(row, 3)?, bytes: blob(row, 4)? };
    (checker.row(&found) == blob(row, 5)?).then_some(found)
}

/// A number of a row; none if something else is there.
pub(crate) fn integer(row: &Row<'_>, place: usize) -> Option<i64> {
    match row.get_ref(place) {
        Ok(ValueRef::Integer(number)) => Some(number),
        _ => None,
    }
}

/// Bytes of a row; none if something else is there.
pub(crate) fn blob<'a>(row: &'a Row<'_>, place: usize) -> Option<&'a [u8]> {
    match row.get_ref(place) {
        Ok(ValueRef::Blob(bytes)) => Some(bytes),
        _ => None,
    }
}
