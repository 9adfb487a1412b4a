-- What the graph answers as tables of its own: every sum and share is there already, so that nothing is left to work out.
CREATE SCHEMA flat;
SET search_path TO flat;
CREATE TABLE campaign (id uuid PRIMARY KEY, name text NOT NULL, slug text NOT NULL, state text NOT NULL);
CREATE TABLE goal (
    id uuid PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaign, title text NOT NULL, state text NOT NULL,
    metric text NOT NULL, target_value float8
);
CREATE INDEX ON goal (campaign_id);
CREATE TABLE budget (
    campaign_id uuid PRIMARY KEY REFERENCES campaign, currency text NOT NULL, allotted numeric NOT NULL,
    committed numeric NOT NULL, actual numeric NOT NULL, available numeric NOT NULL
);
CREATE TABLE month (
    campaign_id uuid NOT NULL REFERENCES campaign, start date NOT NULL, value float8, numerator float8,
    denominator float8, PRIMARY KEY (campaign_id, start)
);
