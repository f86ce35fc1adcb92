#!/usr/bin/perl
# Pacemaker's alerts for people: what one of them means in a sentence, as a mail or for a command of the site's.
# Installed and kept alike on all servers by snow-ha. Pacemaker runs it, as hacluster, for each recipient of each event; what an
# event is, stands in the environment (Pacemaker Administration, "Writing an Alert Agent").
use strict;
use warnings;
use POSIX ();

my $SENDMAIL = '/usr/sbin/sendmail';
my $STATE = '/var/lib/pacemaker';    # belongs to hacluster
my $TIME_S = 20;                     # Pacemaker gives this program 30 s
my $AGAIN_S = 600;                   # one failure, tried again and again, is told of once in this time

exit 0 unless length($ENV{CRM_alert_recipient} // '');

# printable, and short: what is in it goes into the header of a mail
sub given { my $text = substr($ENV{"CRM_alert_$_[0]"} // '', 0, 300); $text =~ s/[^\x20-\x7e]/?/g; return $text }
sub number { my $text = given($_[0]); return $text =~ /^-?[0-9]+$/ ? $text : $_[1] }

my ($kind, $node, $desc, $task) = map { given($_) } qw(kind node desc task);

# The sentence, and whether it is told of each time; nothing for what nobody need know.
sub event {
    if ($kind eq 'node') {
        return ("$node is lost: the cluster does not see it any more", 1) if $desc eq 'lost';
        return ("$node is in the cluster", 1) if $desc eq 'member';
        return;
    }
    if ($kind eq 'fencing') {
        return (number('rc', 1) == 0 ? "$node was fenced ($task)" : "$node could not be fenced ($task)", 1);
    }
    return resource() if $kind eq 'resource';
    return ("This is a test. $desc", 1) if $kind eq 'test';
    return;
}

# Pacemaker tells of what succeeds as well, of what it finds when it first looks, and of what it has called off.
sub resource {
    my $rsc = given('rsc');
    my ($rc, $wanted, $status) = (number('rc', 1), number('target_rc', 0), number('status', 0));
    return if $status == 1;
    return if $status == 0 && $rc == $wanted;
    return if $task eq 'monitor' && number('interval', 0) == 0 && $status == 0 && ($rc == 0 || $rc == 7);
    my $why = length $desc ? ": $desc" : '';
    return ("$1 cannot be fenced while this lasts: $task of $rsc has failed on $node$why") if $rsc =~ /^fence-(.+)$/;
    return ("$rsc does not run any more on $node; it is started again") if $task eq 'monitor' && $rc == 7 && $status == 0;
    return ("$task of $rsc has failed on $node$why");
}

my ($sentence, $always) = event();
exit 0 unless defined $sentence;
my $recipient = $ENV{CRM_alert_recipient};

unless ($always) {
    my $stamp = "$STATE/snow-alert." . substr("$recipient $sentence", 0, 200) =~ s/[^A-Za-z0-9]+/-/gr;
    my $age = time - ((stat $stamp)[9] // 0);
    exit 0 if $age >= 0 && $age < $AGAIN_S;
    for my $old (glob "$STATE/snow-alert.*") { unlink $old if time - ((stat $old)[9] // time) > $AGAIN_S }
    if (open my $file, '>', $stamp) { close $file }    # without it, it is told of once more
}

my $cluster = substr($ENV{SNOW_CLUSTER} // '', 0, 60);
$cluster =~ s/[^\x21-\x7e]/?/g;
my $subject = "[$cluster] $sentence";
my $at = given('timestamp');
my $here = (POSIX::uname())[1];
my $body = "$sentence\n\n" . (length $at ? "$at, as $here saw it.\n" : "As $here saw it.\n")
    . (length $desc ? "Pacemaker says: $desc\n" : '') . "What is wrong now, and what to type: snow status\n";

# Only what belongs to the event goes on: nothing else that Pacemaker has in its environment.
my %env = map { ($_ => $ENV{$_}) } grep { /^CRM_alert_\w+$/ } keys %ENV;
%ENV = (
    %env,
    PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LC_ALL => 'C.UTF-8',
    SNOW_CLUSTER => $cluster,
    SNOW_ALERT => $sentence,
);
my @command = ($recipient);
unless ($recipient =~ m{^/}) {
    die "snow-alert: no address: $recipient\n" unless $recipient =~ /^[A-Za-z0-9_][\w.%+\@-]*$/a;
    @command = ($SENDMAIL, '-i', '--', $recipient);
    $body = "To: $recipient\nSubject: $subject\nAuto-Submitted: auto-generated\n"
        . "Content-Type: text/plain; charset=us-ascii\n\n$body";
}
$SIG{PIPE} = 'IGNORE';    # a command need not read it
open my $pipe, '|-', 'timeout', '--kill-after=2', $TIME_S, @command or die "snow-alert: timeout: $!\n";
print $pipe $body;
close $pipe;
die "snow-alert: $command[0] took longer than $TIME_S s\n" if $? >> 8 == 124 || $? >> 8 == 137;
die "snow-alert: $command[0] ended with " . ($? >> 8) . "\n" if $?;
