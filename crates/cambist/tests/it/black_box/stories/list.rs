//! The names of all stories.

/// Calls a macro with the names of all stories.
macro_rules! tell_all {
    ($teller:ident) => {
        $teller! {
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
    };
}

pub(crate) use tell_all;
