-- The few deposits that an operator must look at, so that they are found among all others.
CREATE INDEX deposits_suspended ON deposits (id) WHERE state = 'suspense';
