//! The same stories in every world: one process on a file, one process on PostgreSQL, ten processes on PostgreSQL and NATS.
//!
//! They know what a stranger knows (HTTP, the mails, `cambist audit`), so what they say holds for whoever cannot tell which
//! world they are in. Each has users of its own; those of one world share its processes.

pub(crate) mod company;
mod stories;
pub(crate) mod world;

/// Tells every story in every world, each as a test of its own.
macro_rules! in_every_world {
    ($($story:ident,)+) => {
        in_every_world!(@in one_process_on_a_file $($story,)+);
        in_every_world!(@in one_process_on_postgresql $($story,)+);
        in_every_world!(@in ten_processes $($story,)+);
    };
    (@in $world:ident $($story:ident,)+) => {
        mod $world {
            use super::{company, stories, world::{self, Shared}};

            static WORLD: Shared = Shared::new(world::$world, [$(stringify!($story)),+].len());

            $(
                #[tokio::test]
                async fn $story() {
                    let visit = WORLD.visit();
                    stories::$story(visit.world()).await;
                    visit.world().audited().await;
                }
            )+

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_bad_company_every_order_ends_and_every_cent_is_explained() {
                company::keep(world::$world).await;
            }

            #[tokio::test]
            async fn whatever_the_world_outside_does_an_order_ends_as_it_should() {
                company::meet_each_fault(world::$world).await;
            }
        }
    };
}

stories::tell_all!(in_every_world);
