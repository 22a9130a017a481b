//! `from` names the one earlier scenario in whose end state another begins.

#[polder::suite(cvp)]
mod demo {
    #[test(from(later))]
    async fn first() {}

    #[test(values(1, 2))]
    async fn cased(#[case] _n: &u8) {}

    #[test(from(frist))]
    async fn misspelt() {}

    #[test(from(first, misspelt))]
    async fn of_two() {}

    #[test(from("first"))]
    async fn quoted() {}

    #[test(from(first), after(first))]
    async fn twice() {}

    #[test(from(first), always)]
    async fn whatever() {}

    #[test(from(cased))]
    async fn of_cases() {}

    #[test(from(later))]
    async fn later() {}

    #[test(from())]
    async fn of_nothing() {}
}

#[polder::suite]
mod stateless {
    #[test]
    async fn first() {}

    #[test(from(first))]
    async fn second() {}
}

fn main() {}
