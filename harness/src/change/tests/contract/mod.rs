//! The contract of changes, row by row. Tests are named after the rows of its checklist (`row_NN`), or after its tables; what
//! other tests show is named here.
//!
//! | rows | where |
//! | --- | --- |
//! | 1-3, 5 | `units` |
//! | 4 | `problems::steps` (`change.no-target`) |
//! | 6-16 | `sequence`: done and undone by a driver; as plans in `orders` |
//! | 17 | `sessions::an_exchange_may_take_as_long_as_the_nearest_says` |
//! | 18-24, 33, 61-67 | `driver::tests::contract`: real programs in terminals, and a server |
//! | 25-28, 30-32 | `rows` |
//! | 29, 37 | `units` |
//! | 34, 35 | `files::xml_says_what_modipys_files_say` has both |
//! | 36 | `files`: drivers have names |
//! | 38-56 | `phases` |
//! | 57, 58 | `driver::tests::programs::commands_are_split_into_words_and_never_read_by_a_shell` |
//! | 59 | `engine::the_operator_is_shown_what_is_sent_and_may_end_or_skip_it`, `interrupted` |
//! | 60 | `mock::drivers_are_told_everything_and_answer_through_the_traits` (`Null`) |
//! | 68 | `driver::tests::ssh` |
//! | table 1.5 | `state` |
//! | table 1.7 | `phases::a_device_that_fails` |
//! | table 1.8 | `devices` |
//! | table 1.10 | `sequence` |
//!
//! What ModiPy's own tests do not cover:
//!
//! | what | where |
//! | --- | --- |
//! | backout of all, going on after failures | `devices`, `engine::of_three_devices` |
//! | retry | `engine::of_three_devices`, `interrupted` |
//! | parallel devices | `devices` |
//! | pause, authorisation | `engine`, `interrupted` |
//! | templates | `files::yaml_says_all_of_the_model`, `rows::a_template_gives_all_that_it_has` |
//! | namespaces, substitution errors | `files::the_nearest_value_of_a_variable_wins`, `problems::steps` |
//! | conditions | `cond::tests` |
//! | target errors | `problems::steps`, `problems::surroundings` |
//! | command line, exit codes | `tests/it/changes.rs` |
//! | XInclude | `files::xml_says_what_modipys_files_say`, `problems` |
//! | csv on several devices | `rows` |

mod devices;
mod phases;
mod rows;
mod sequence;
mod units;
