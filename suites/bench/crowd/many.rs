//! A hundred suites of ten scenarios that do nothing.

/// As `groups!((env = "memory.yaml") a b c)`: ten suites in each of these modules, with these arguments.
macro_rules! groups {
    ($arguments:tt $($name:ident)+) => {$(
        mod $name {
            suites!($arguments a b c d e f g h i j);
        }
    )+};
}

macro_rules! suites {
    ($arguments:tt $($name:ident)+) => {$(
        suite!($arguments $name);
    )+};
}

macro_rules! suite {
    (($($arguments:tt)*) $name:ident) => {
        #[polder::suite($($arguments)*)]
        mod $name {
            #[test]
            async fn a() {}
            #[test]
            async fn b() {}
            #[test]
            async fn c() {}
            #[test]
            async fn d() {}
            #[test]
            async fn e() {}
            #[test]
            async fn f() {}
            #[test]
            async fn g() {}
            #[test]
            async fn h() {}
            #[test]
            async fn i() {}
            #[test]
            async fn j() {}
        }
    };
}
