# The documents are true on a server that has not preloaded the library, where nobody
# but the session works: see test/perl/DocsTest.pm.
use strict;
use warnings;

use DocsTest;
use Test::More;

my $node = docs_server('docs', library => 'session');

ok(has_sql($_), "$_ has SQL") foreach 'README.md', 'docs/tutorial.md', 'docs/reference.md';
run_document($_) foreach grep { has_sql($_) } documents();
reference_is_complete();
links_lead_somewhere($_) foreach documents();

$node->stop;
done_testing();
