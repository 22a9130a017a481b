//! Wrong arguments of scenarios: tags, attempts, known failures, and what only some functions have.

#[polder::suite(stop_on_failure = true, tags("a", "a"), crate = "polder", always)]
mod demo {
    #[test(always = true, tags(slow))]
    async fn a() {}

    #[test(tags("two words", "a", "", "a"))]
    async fn b() {}

    #[test(retries = 0)]
    async fn c() {}

    #[test(retries("2"))]
    async fn d() {}

    #[test(expect_fail)]
    async fn e() {}

    #[test(expect_fail(until = "31.01.2027", reason = " "))]
    async fn f() {}

    #[test(expect_fail(until = "2027-02-29"))]
    async fn g() {}

    #[test(expect_fail(reson = "bug 7", until = 2027))]
    async fn h() {}

    #[test(expect_fail(until = "2027-01-31", reason = "bug 7"), retries = 2)]
    async fn i() {}

    #[setup(retries = 2)]
    async fn prepare() {}

    #[teardown(always, tags("a"))]
    async fn tidy() {}
}

fn main() {}
