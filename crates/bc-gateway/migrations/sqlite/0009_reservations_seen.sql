-- How often coins of this address were reserved, ever. Who decides by a count whether coins go elsewhere says which
-- number they saw with it: what was reserved since may have changed the balance that the count was compared with, and be
-- given up by now, with nothing else to tell of it.
ALTER TABLE bc_gateway_coins ADD COLUMN reservations INTEGER NOT NULL DEFAULT 0;
