//! The stories of the black box, told where somebody else has started the processes: `cargo xtask test --only processes`, from
//! what the manifests say. Nothing else runs this program, which needs that world: it is named in `CAMBIST_TEST_WORLD`.

#![allow(
    clippy::unwrap_used,
    reason = "a test or a helper that cannot set its scene has failed"
)]

mod world;

#[path = "../it/black_box/stories/customers.rs"]
mod customers;
#[path = "../it/black_box/stories/doors.rs"]
mod doors;
#[path = "../it/black_box/stories/list.rs"]
mod list;
#[path = "../it/black_box/stories/operators.rs"]
mod operators;
#[path = "../it/black_box/stories/repeats.rs"]
mod repeats;

/// Where the stories look for their world.
mod black_box {
    pub(crate) use crate::world;
}

mod stories {
    pub(crate) use crate::customers::*;
    pub(crate) use crate::doors::*;
    pub(crate) use crate::operators::*;
    pub(crate) use crate::repeats::*;
}

/// Tells every story, each as a test of its own.
macro_rules! in_this_world {
    ($($story:ident,)+) => {
        mod as_the_manifests_say {
            use crate::stories;
            use crate::world::World;

            $(
                #[tokio::test]
                async fn $story() {
                    let world = World::read();
                    stories::$story(&world).await;
                    world.audited().await;
                }
            )+
        }
    };
}

list::tell_all!(in_this_world);
