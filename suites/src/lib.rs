//! Steps shared by two suites or more.
