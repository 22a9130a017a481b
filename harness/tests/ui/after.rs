//! `after` names an earlier scenario of the suite.

#[polder::suite]
mod demo {
    #[test(after(later, itself))]
    async fn itself() {}

    #[test]
    async fn names_resolve() {}

    #[test(after(names_resolv, helper, other::names))]
    async fn later() {}

    #[test(after(names_resolv, unheard_of))]
    async fn last() {}

    fn helper() {}
}

fn main() {}
