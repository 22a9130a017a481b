//! Cases that have no name, or nobody to be given to.

#[polder::suite]
mod demo {
    #[test(case)]
    async fn a(#[case] _n: &u32) {}

    #[test(case(1, 2))]
    async fn b(#[case] _n: &u32) {}

    #[test(case(small = 1, small = 2))]
    async fn c(#[case] _n: &u32) {}

    #[test(values())]
    async fn d(#[case] _n: &u32) {}

    #[test(values("fd00::1", (1, 2), 7, 7u32, f(3)))]
    async fn e(#[case] _n: &u32) {}

    #[test(case(small = 1), values(2))]
    async fn f(#[case] _n: &u32) {}

    #[test(values(1))]
    async fn g(_n: &u32) {}

    #[test]
    async fn h(#[case] _n: &u32) {}

    #[test(values(1))]
    async fn i(#[case] _n: &u32, #[case] _m: &u32) {}

    #[test(values(1))]
    async fn j(#[case(1)] _n: &u32, #[values(2)] _m: &u32) {}

    #[test(values(1))]
    async fn k(#[case] #[role("server")] _n: &u32) {}

    #[test]
    #[case(1)]
    async fn l() {}

    #[setup]
    async fn prepare(#[case] _n: &u32) {}
}

fn main() {}
