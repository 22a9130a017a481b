//! A suite is a module with a body.

#[polder::suite]
fn function() {
    let _ = "a body that is not underlined";
}

#[polder::suite(env)]
struct Thing;

fn main() {}
