//! Which types values of conditions may have, as far as that is known before there are results. Pure.

use super::expr::Field;

/// The types a value may have, one bit each.
pub(super) type Types = u8;
pub(super) const BOOL: Types = 1;
pub(super) const INT: Types = 2;
pub(super) const FLOAT: Types = 4;
pub(super) const STR: Types = 8;
pub(super) const NONE: Types = 16;
pub(super) const NUMBER: Types = INT | FLOAT;

/// What a field may be.
pub(super) fn types_of(field: Field) -> Types {
    match field {
        Field::ExitCode | Field::Errno => INT | NONE,
        Field::Status | Field::Reason => STR | NONE,
        Field::CmdOutput | Field::Stdout | Field::Stderr => STR,
        Field::DurationMs => INT,
        Field::TimedOut => BOOL,
    }
}

pub(super) fn named(types: Types) -> &'static str {
    match types {
        BOOL => "true or false",
        NONE => "nothing",
        _ if types & STR != 0 => "a string",
        _ => "a number",
    }
}
