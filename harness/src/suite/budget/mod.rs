//! How much of a host suites take at once, whoever runs them: memory, processors, and seats at a portal. What is taken is
//! noted in files that are locked as long as it is used, in a folder that all users of the host share: when its holder dies,
//! the kernel frees it. `model` decides, `ledger` has the files, `take` waits. Not subnets, which are leased elsewhere.

mod host;
mod ledger;
mod model;
mod take;

pub(crate) use model::Demand;
pub(crate) use take::{Budget, Refused, Token};
