# The documents are true on a server that has preloaded the library, with launcher and
# workers at work: see test/perl/DocsTest.pm.
use strict;
use warnings;

use DocsTest;
use Test::More;

my $node = docs_server('docs_preloaded', worker => 1, streaming => 0);

run_documents();

$node->stop;
done_testing();
