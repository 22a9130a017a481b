//! Attributes where they do not belong.

#[polder::suite]
mod demo {
    #[setup]
    async fn one() {}

    #[setup]
    async fn two() {}

    #[teardown]
    #[ignore]
    async fn tidy() {}

    #[test]
    #[setup]
    async fn both() {}

    #[tokio::test]
    async fn foreign() {}

    #[test]
    #[should_panic]
    fn panics() {}

    #[test]
    async fn twice() {}

    #[test]
    async fn twice() {}

    #[test]
    async fn environment() {}

    mod inner {
        #[test]
        fn hidden() {}
    }
}

fn main() {}
