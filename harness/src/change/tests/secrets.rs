//! What is shown to nobody, whoever says it.

use std::sync::Arc;

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, exit::Exit},
    change::{DriverError, Mock},
};

/// A driver that has a password of its own, which its devices say.
#[derive(Debug)]
struct Knowing(Mock);

impl crate::change::Driver for Knowing {
    fn secrets(&self) -> Vec<String> {
        vec!["s3 \"q\"".to_owned()]
    }
    fn open<'a>(
        &'a self,
        target: crate::change::Target<'a>,
        deadline: crate::base::wait::Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn crate::change::Session>, DriverError>> {
        self.0.open(target, deadline)
    }
}

#[tokio::test]
async fn what_a_driver_hides_is_hidden_whoever_says_it() {
    let mut lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         apply: { exchanges: [ { send: 'say it is s3 \"q\"' } ], checks: [ 'results.cmdoutput == \"x\"' ] } }\n",
    );
    lab.runner.drivers = [("m".to_owned(), Arc::new(Knowing(lab.mock.clone())) as _)].into();
    let report = lab.run().await;
    let why = &report.steps[0].devices[0].why[0];
    assert!(why.contains("is \"it is ***\""), "{why}");
    let everything = format!("{}{}{report:?}", lab.written(), lab.told());
    assert!(everything.contains("***") && !everything.contains("s3"), "{everything}");
}

#[tokio::test]
async fn what_a_person_is_told_of_a_driver_that_broke_down_has_no_secret_in_it() {
    let lab = Lab::new(
        "vars: { password: hunter2 }\ndevices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         apply: { exchanges: [ { send: set x }, { send: panic } ] }, \
         rollback: [ { alert: 'log in to %(device.name)s with %(password)s' } ] }\n",
    );
    let report = lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    assert_eq!(report.exit(), Exit::Left, "{}", states(&report));
    assert_eq!(lab.told(), "one on sw1: log in to sw1 with ***");
    let everything = format!("{}{report:?}", lab.written());
    assert!(everything.contains("with ***") && !everything.contains("hunter2"), "{everything}");
}
