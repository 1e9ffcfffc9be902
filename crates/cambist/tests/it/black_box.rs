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

in_every_world! {
    who_registers_can_log_in_and_their_token_is_proven_by_the_published_keys,
    a_wallet_is_opened_once_and_holds_what_was_deposited,
    money_goes_round_exactly_and_each_order_is_told_by_mail,
    a_statement_explains_every_cent,
    an_order_is_followed_live_to_its_end,
    a_repeated_request_is_answered_as_before_and_has_no_second_effect,
    many_at_once_with_one_key_are_one_order,
    a_reference_is_the_name_of_one_order_of_its_user,
    strangers_and_neighbours_are_kept_out,
    what_makes_no_sense_or_is_not_there_is_refused,
    what_is_not_covered_is_refused_for_good,
    a_frozen_user_is_kept_out_until_let_in_again,
    operators_see_orders_and_dead_letters_and_nobody_else_does,
}
